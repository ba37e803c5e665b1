"""The page of one run, made of its report.json alone."""

from collections.abc import Iterator, Sequence

from rapidfuzz.distance import Levenshtein

from lorb_adapters.training.data.audit import FACT_COLUMNS, FINDING_COLUMNS, NOTHING_FOUND, Audit
from lorb_adapters.training.evaluation.set_detail import Example
from lorb_adapters.training.report.calibration_report import CALIBRATION_EXPLANATION, MARGIN_EXPLANATION
from lorb_adapters.training.report.html import plots
from lorb_adapters.training.report.html.markup import Markup, element, figure, grid, page, stack, table, text
from lorb_adapters.training.report.saved_report import SavedReport
from lorb_adapters.training.report.saved_set import SetFigures

_SET_COLUMNS = (
    "set", "utterances", "words", "first pass", "rescored", "oracle", "relative gain %", "recovered gap %", "fixed",
    "broken", "change, 95% interval", "P", "Z", "p",
)  # fmt: skip
_CALIBRATION_COLUMNS = ("posteriors", "confidence", "accuracy", "calibration error")
_MARGIN_COLUMNS = ("set", "switching margin", "rescored", "fixed", "broken")
_EXPLANATION = (
    "Word error rates in per cent, pooled over each set. Oracle: the best hypothesis of each list. Recovered gap: the "
    "share of the way from the first pass to the oracle. Fixed, broken: lists with fewer and with more errors than "
    "before. Change: 95% interval of rescored minus first pass over 10,000 paired resamples of utterances; below 0 is "
    "better. P: share of the resamples with fewer errors. p: of the matched pairs sentence-segment word error test "
    "(MAPSSWE), two-tailed; Z above 0: rescored is better. "
    "Weight and scale were tuned on dev: its own row is optimistic."
)


def run_page(report: SavedReport) -> str:
    """A whole HTML page that needs no other file."""
    made = "Adapter" if report.config.get("method") == "lora" else f"Method {report.config.get('method', '')}"
    title = f"{made} for {report.domain}"
    run = [("", report)]
    return page(
        title,
        [
            element("h1", title),
            *(element("p", _sentence(name, figures), "lead") for name, figures in _leading(report)),
            table(_SET_COLUMNS, [_set_row(name, each) for name, each in report.sets.items()], kinds=("", "number")),
            element("p", _EXPLANATION, "note"),
            element("h2", "Command"),
            element("pre", report.command or "not recorded"),
            element("h2", "Training"),
            grid(
                "figures",
                [
                    figure("Losses", "each before its weight, means over equal stretches", plots.losses(run)),
                    stack(
                        [
                            figure("Dev WER", "at each look; the ringed one was kept", plots.dev_course(run)),
                            figure("Dev WER by weight", "0 keeps the first pass; the ring is used", plots.weights(run)),
                        ]
                    ),
                ],
            ),
            *(part for name, figures in report.sets.items() for part in _set_parts(name, figures)),
            *_trust(report),
            *_examples(report.sets["dev"]),
            *_audit(report.audit),
            element("h2", "Settings and costs"),
            grid(
                "sides",
                [table((), _costs(report), kinds=("label", "")), table((), _settings(report), kinds=("label", ""))],
            ),
        ],
    )


def _leading(report: SavedReport) -> list[tuple[str, SetFigures]]:
    """The set to be judged by: test where there is one."""
    name = "test" if "test" in report.sets else "dev"
    return [(name, report.sets[name])]


def _sentence(name: str, figures: SetFigures) -> str:
    change = figures.rescored_wer - figures.first_pass_wer
    verdict = ", which holds zero: no change is shown" if figures.low <= 0 <= figures.high else ""
    return (
        f"On {name} ({figures.utterances:,} utterances, {figures.words:,} words) the word error rate went from "
        f"{figures.first_pass_wer:.2f} to {figures.rescored_wer:.2f} per cent: {change:+.2f}, 95% interval "
        f"{_interval(figures)}{verdict}. The best of each list would give {figures.oracle_wer:.2f}; "
        f"{figures.recovered_gap_percent:.1f}% of that gap is recovered."
    )


def _set_row(name: str, figures: SetFigures) -> tuple[str, ...]:
    return (
        name,
        f"{figures.utterances:,}",
        f"{figures.words:,}",
        f"{figures.first_pass_wer:.2f}",
        element("strong", f"{figures.rescored_wer:.2f}"),
        f"{figures.oracle_wer:.2f}",
        f"{figures.relative_gain_percent:.1f}",
        f"{figures.recovered_gap_percent:.1f}",
        f"{figures.lists_fixed:,}",
        f"{figures.lists_broken:,}",
        _interval(figures),
        f"{figures.probability_of_improvement:.4f}",
        *(("", "") if figures.matched_pairs is None else _matched_pairs(*figures.matched_pairs)),
    )


def _matched_pairs(z: float, p: float) -> tuple[str, str]:
    return f"{z:+.2f}", f"{p:.2g}"


def _interval(figures: SetFigures) -> str:
    return f"{figures.low:+.2f} to {figures.high:+.2f}"


def _set_parts(name: str, figures: SetFigures) -> Iterator[Markup]:
    place = "-".join(part for part in name.replace(",", " ").split() if part.isalnum())
    detail = figures.detail
    yield element("h2", f"Where it helps: {name}")
    yield grid(
        "figures",
        [
            figure(
                "WER by length of the utterance",
                "words in the reference",
                plots.by_length(f"len-{place}", detail.by_length),
            ),
            figure(
                "WER by N", "only the first N hypotheses of each list are scored", plots.by_depth(f"n-{place}", figures)
            ),
            figure(
                "Reliability",
                "how often the top hypothesis is the best of its list (95% intervals), by its posterior; lists of one "
                "text left out",
                plots.reliability(f"posterior-{place}", detail.by_posterior),
            ),
        ],
    )


def _trust(report: SavedReport) -> Iterator[Markup]:
    """What the tuned posterior scale and the switching margin change."""
    before, after = report.calibration
    rows = [
        (name, f"{each.confidence:.3f}", f"{each.accuracy:.3f}", f"{each.expected_error:.3f}")
        for name, each in (("scale 1", before), (f"scale {report.posterior_scale:.3f}, tuned", after))
    ]
    yield element("h2", "Posteriors and switching margin")
    yield table(_CALIBRATION_COLUMNS, rows, kinds=("", "number"))
    yield element("p", CALIBRATION_EXPLANATION, "note")
    if report.sets["dev"].without_margin is not None:
        yield table(_MARGIN_COLUMNS, _margin_rows(report), kinds=("", "", "number"))
        yield element("p", MARGIN_EXPLANATION, "note")


def _margin_rows(report: SavedReport) -> Iterator[tuple[str, ...]]:
    for name, each in report.sets.items():
        choices = {"without": each.without_margin}
        choices[f"{report.switching_margin:.3f}"] = (each.rescored_wer, each.lists_fixed, each.lists_broken)
        for margin, figures in choices.items():
            if figures is not None:
                yield name, margin, f"{figures[0]:.2f}", f"{figures[1]:,}", f"{figures[2]:,}"


def _audit(audit: Audit) -> Iterator[Markup]:
    yield element("h2", "The lists, before training")
    yield table(FACT_COLUMNS, audit.fact_rows(), kinds=("", "number"))
    if audit.findings:
        yield table(FINDING_COLUMNS, audit.finding_rows(), kinds=("label", "label", "", "number", "label", ""))
    else:
        yield element("p", NOTHING_FOUND)


def _examples(dev: SetFigures) -> Iterator[Markup]:
    yield element("h2", "Examples from dev")
    if not dev.detail.fixed and not dev.detail.broken:
        changed = dev.lists_fixed or dev.lists_broken
        yield element("p", "Texts were left out of this report." if changed else "No list changed for good or bad.")
        return
    yield element(
        "p",
        "Evenly spaced over all lists that were fixed and broken, not picked. Marked: words too many or wrong; struck "
        "through: missing words of the reference.",
        "note",
    )
    for heading, count, examples in (
        ("Fixed", dev.lists_fixed, dev.detail.fixed),
        ("Broken", dev.lists_broken, dev.detail.broken),
    ):
        yield element("h3", f"{heading}: {len(examples)} of {count:,}")
        if examples:
            rows = [row for example in examples for row in _example_rows(example)]
            yield table(("utterance", "", "errors", "text"), rows, kinds=("label", "label", "number", ""))


def _example_rows(example: Example) -> list[Sequence[str]]:
    reference = example.reference
    return [
        (example.id, "reference", "", reference),
        ("", "first pass", str(example.first_pass_errors), _compared(reference, example.first_pass)),
        ("", "rescored", str(example.rescored_errors), _compared(reference, example.rescored)),
    ]


def _compared(reference: str, hypothesis: str) -> Markup:
    """The hypothesis with its word errors marked, counted as everywhere: by Levenshtein's distance."""
    said, heard = reference.split(), hypothesis.split()
    parts = []
    for operation in Levenshtein.opcodes(said, heard):
        words = " ".join(heard[operation.dest_start : operation.dest_end])
        if operation.tag == "delete":
            parts.append(element("del", " ".join(said[operation.src_start : operation.src_end])))
        else:
            parts.append(text(words) if operation.tag == "equal" else element("mark", words))
    return Markup(" ".join(parts)) or element("span", "(empty)", "note")


def _costs(report: SavedReport) -> list[tuple[str, str]]:
    return [
        ("base", f"{report.base_name} ({report.base_fingerprint[:12]})"),
        ("parameters trained", f"{report.num_trained_parameters:,} ({report.trained_percent:.2f}% of the base)"),
        ("size", f"{report.adapter_bytes:,} bytes"),
        ("steps of what was kept", f"{report.num_steps:,}"),
        ("minutes", f"{report.train_seconds / 60:.1f}"),
        ("tokens a second", f"{report.tokens_per_second:,.0f}"),
        ("peak memory", f"{report.peak_memory_bytes / 2**20:,.0f} MiB"),
        ("weight", f"{report.weight:.3f}"),
        ("posterior scale", f"{report.posterior_scale:.3f}"),
        *((f"lists {name}", f"{count:,}") for name, count in report.list_counts.items()),
        *((f"sha256 {name}", digest[:12]) for name, digest in report.data_sha256.items()),
    ]


def _settings(report: SavedReport) -> list[tuple[str, str]]:
    return [(name.replace("_", " ").replace(".", ": "), value) for name, value in report.config.items()]

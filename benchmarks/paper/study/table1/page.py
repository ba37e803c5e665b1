"""Makes the page of Table 1."""

from collections.abc import Sequence
from statistics import fmean

from study.harness.records import Record, Records
from study.harness.sizes import Size
from study.pages.markdown import grid
from study.pages.markdown import page as whole_page
from study.statistics.intervals import over_seeds
from study.table1.comparison import findings
from study.table1.rows import Rows
from study.training.methods import Method, methods_of

_COLUMNS = (
    "", "dev WER", "elsewhere", "weight fitted there", "trained", "% of base", "bytes", "minutes to best", "tokens/s",
    "memory beyond weights, MiB", "rate", "seeds",
)  # fmt: skip
_WORDS = """WER in per cent, pooled, mean over seeds with Student's 95% interval. Dev: weight and margin are tuned on
one half and errors counted on the other. Elsewhere: the mean of the two other domains' dev WER, with the weight tuned
on the own domain, as on a server, and with a weight fitted there. Minutes and tokens per second are processor time of
one core without evaluations on dev. Memory: the highest resident set in the steps before the first evaluation, minus
that right after the base was loaded."""
_CLAIMS = """LoRB against full fine-tuning on the same lists. Differences are paired over lists, with intervals over
lists and seeds; below 0 LoRB is better. Elsewhere: the pooled words of the two other domains. Ratios and savings have
Student's interval over seeds. A claim is held or not held if the whole 95% interval says so, else not decided; equal
means within 0.5."""


def page(size: Size, records: Records) -> str:
    """Makes the page from the records."""
    rows = Rows.read(size, records)
    done = [each for each in rows.records if "method" in each.key]
    parts = [_domain(rows, domain) for domain in size.domains]
    found = [(each.claim, each.where, each.figure, each.verdict) for each in findings(rows)]
    claims = grid(("claim", "where", "found here", "verdict"), found) if found else ""
    return whole_page(
        "Table 1: methods and costs",
        size,
        done,
        _WORDS,
        *parts,
        "## Claims and aims" if claims else "",
        _CLAIMS if claims else "",
        claims,
        _rates(rows),
    )


def _domain(rows: Rows, domain: str) -> str:
    lines = []
    for name in ("trigram", "untrained"):
        lines += [_baseline(record) for record in rows.of(domain, name)]
    for method in methods_of(rows.size):
        chosen = rows.chosen(domain, method.name)
        if chosen:
            lines.append(_line(method, chosen))
    if not lines:
        return ""
    some = next(each for each in rows.records if each.key["domain"] == domain and "dev" in each.figures)
    counts = rows.set_counts(some.figures["dev"]["set"])
    ends = [
        ("first pass", f"{counts.wer(counts.first_pass):.2f}", *[""] * 10),
        ("oracle", f"{counts.wer(counts.oracle):.2f}", *[""] * 10),
    ]
    words = f"## {domain}\n\n{len(counts.words)} lists, {counts.words.sum():,} words."
    return f"{words}\n\n{grid(_COLUMNS, [ends[0], *lines, ends[1]])}"


def _baseline(record: Record) -> tuple[str, ...]:
    fitted = [each["weight_fitted_there"]["wer"] for each in record.figures.get("elsewhere", {}).values()]
    title = {"trigram": "trigram of the train references", "untrained": "the base's own head, untrained"}
    shown = f"{fmean(fitted):.2f}" if fitted else ""
    return (title[str(record.key["method"])], f"{record.figures['dev']['wer']:.2f}", "", shown, *[""] * 8)


def _line(method: Method, records: Sequence[Record]) -> tuple[str, ...]:
    figures = [each.figures for each in records]
    parameters = figures[0]["parameters"]

    def mean(values: Sequence[float], digits: int = 2) -> str:
        return over_seeds(values).text(digits)

    def elsewhere(weight: str) -> str:
        return mean([fmean(each[weight]["wer"] for each in one["elsewhere"].values()) for one in figures])

    return (
        method.title,
        mean([one["dev"]["wer"] for one in figures]),
        elsewhere("own_weight"),
        elsewhere("weight_fitted_there"),
        f"{parameters['trained']:,}",
        f"{parameters['percent']:.2f}",
        f"{parameters['bytes']:,}",
        f"{fmean(one['best']['minutes'] for one in figures):.2f}",
        f"{fmean(one['tokens_per_cpu_second'] for one in figures):,.0f}",
        f"{fmean(one['memory']['peak_beyond_bytes'] for one in figures) / 2**20:,.0f}",
        f"{records[0].key['rate']:g}",
        str(len(records)),
    )


def _rates(rows: Rows) -> str:
    """The learning rates that were tried."""
    lines = []
    for domain in rows.domains:
        for method in methods_of(rows.size):
            tried = sorted(
                (each for each in rows.of(domain, method.name) if each.key["seed"] == 0), key=lambda r: r.key["rate"]
            )
            if tried:
                shown = ", ".join(f"{each.key['rate']:g}: {each.figures['best']['wer']:.2f}" for each in tried)
                lines.append((domain, method.title, shown))
    table = grid(("domain", "method", "rate: WER"), lines)
    return f"## Learning rates tried on seed 0: best dev WER\n\n{table}" if lines else ""

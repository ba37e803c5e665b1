"""Makes the page of Table 6."""

import numpy as np

from study.harness.records import Record, Records
from study.harness.sizes import Size
from study.lists.error_counts import SetCounts, unpacked
from study.pages.markdown import grid
from study.pages.markdown import page as whole_page
from study.statistics.intervals import over_seeds, paired_difference


def page(size: Size, records: Records) -> str:
    """Makes the page from the records."""
    done = list(records.all())
    title = "Table 6: base depth"
    bases = sorted(records.find(of="base"), key=lambda record: int(record.key["layers"]))
    if not bases:
        return whole_page(title, size, done)
    last = max((record for record in done if record.key["of"] == "lorb"), key=_date, default=None)
    rate = None if last is None else last.key["rate"]  # older records may have another rate of Table 1
    runs = {int(base.key["layers"]): records.find(of="lorb", layers=base.key["layers"], rate=rate) for base in bases}
    deepest = max((layers for layers, found in runs.items() if found), default=0)
    rows = [_row(records, base, runs[int(base.key["layers"])], runs.get(deepest, [])) for base in bases]
    columns = (
        "layers", "parameters, M", "of them layers, M", "base alone, dev WER", "LoRB, dev WER", "seeds",
        f"minus {deepest} layers'", "10-best list, ms, fp32", "bf16", "tokens/s, fp32", "bf16",
    )  # fmt: skip
    return whole_page(title, size, done, _head(bases, done), grid(columns, rows))


def _head(bases: list[Record], done: list[Record]) -> str:
    corpus, dev = bases[0].figures["trained_on"], bases[0].figures["dev"]
    loads = [load for record in done for load in record.facts["load_average"]]
    costs = ", ".join(f"{base.figures['cost']['seconds'] / 60:.0f}" for base in bases)
    return (
        f"Each base: the lowest layers of {corpus['parent']}, trained on the same {corpus['sentences']:,} book "
        f"sentences by lorb-build-base, embeddings frozen ({costs} minutes by the clock); one base a depth, its seed "
        f"not varied. Dev: {dev['utterances']} LibriSpeech lists, {dev['words']:,} words, first pass "
        f"{dev['first_pass_wer']:.2f}, oracle {dev['oracle_wer']:.2f}. LoRB: mean and 95% interval over seeds; the "
        "difference is paired, its interval over lists and seeds. Speed: LoRB's engine with one adapter, processor "
        f"time on one core, medians; the load average of the two cores was {min(loads):.1f} to {max(loads):.1f}."
    )


def _date(record: Record) -> str:
    return str(record.facts["date"])


def _row(records: Records, base: Record, runs: list[Record], deepest: list[Record]) -> tuple[str, ...]:
    layers, parameters = int(base.key["layers"]), base.figures["parameters"]
    wer = over_seeds([each.figures["dev"]["wer"] for each in runs]).text() if runs else "not done"
    return (
        str(layers), f"{parameters['all'] / 1e6:.1f}", f"{parameters['layers'] / 1e6:.1f}",
        f"{base.figures['dev']['rescored_wer']:.2f}", wer, str(len(runs)), _difference(records, runs, deepest),
        *_speed(records.find(of="speed", layers=layers)),
    )  # fmt: skip


def _difference(records: Records, runs: list[Record], deepest: list[Record]) -> str:
    """The difference in WER from the deepest base; empty for that base itself."""
    if not runs or not deepest or runs == deepest:
        return ""
    counts = SetCounts.read(records.results, runs[0].figures["dev"]["set"])
    errors = [[unpacked(each.figures["dev"]["errors"]) for each in side] for side in (runs, deepest)]
    return paired_difference(errors[0], errors[1], np.asarray(counts.words)).text(sign=True)


def _speed(found: list[Record]) -> tuple[str, str, str, str]:
    if not found:
        return ("",) * 4
    fp32, bf16 = (found[0].figures[name] for name in ("fp32", "bf16"))
    return (
        f"{fp32['list_ms']:.1f}", f"{bf16['list_ms']:.1f}",
        f"{fp32['tokens_per_second']:,.0f}", f"{bf16['tokens_per_second']:,.0f}",
    )  # fmt: skip

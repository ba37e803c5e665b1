"""Makes the Markdown of pages."""

import re
from collections.abc import Sequence

from study.harness.records import Record
from study.harness.sizes import Size

# Until then weight decay applied to biases and LayerNorms too. LoRA, heads and prefixes train neither.
_BIASES_DECAYED_UNTIL = "2026-11-30 21:48"
_TRAINS_BIASES = re.compile(r"--method (full|bitfit|adapter)\b|\blorb-build-base\b|-(full|bitfit|adapter)-rate")


def grid(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def page(title: str, size: Size, records: Sequence[Record], *parts: str) -> str:
    """A page: title, settings and machines of the records, and the parts that are not empty."""
    head = (f"# {title}", made_with(size, records), older_decay(records))
    return "\n\n".join(part for part in (*head, *parts) if part) + "\n"


def older_decay(records: Sequence[Record]) -> str:
    """A note on the records whose weight decay was another one than today's; empty if there are none."""
    if not any(
        _TRAINS_BIASES.search(str(record.facts["command"])) and str(record.facts["date"]) < _BIASES_DECAYED_UNTIL
        for record in records
    ):
        return ""
    return (
        "Full fine-tuning, BitFit, bottleneck adapters and bases made by `lorb-build-base` were trained when weight\n"
        "decay applied to biases and LayerNorms too. It no longer does; these figures have not been computed again."
    )


def made_with(size: Size, records: Sequence[Record]) -> str:
    """The size, dates, devices and versions of the records."""
    if not records:
        return f"Size {size.name}: nothing is done yet."
    dates = sorted({str(record.facts["date"])[:10] for record in records})
    devices = sorted({str(record.facts["device"]) for record in records})
    threads = sorted({int(record.facts["threads"]) for record in records})
    versions = sorted({f"torch {record.facts['versions']['torch']}" for record in records})
    return (
        f"Size {size.name}: {_counts(size)}; "
        f"{'all' if size.hypotheses is None else f'the first {size.hypotheses}'} hypotheses of each list, "
        f"{size.epochs} epochs, {size.evaluations} evaluations on dev in each, "
        f"{size.seeds} seeds, unless a row says otherwise. "
        f"{len(records)} cells, {dates[0]}{f' to {dates[-1]}' if len(dates) > 1 else ''}, on {', '.join(devices)}, "
        f"{', '.join(map(str, threads))} thread, {', '.join(versions)}."
    )


def _counts(size: Size) -> str:
    """The numbers of train and dev lists of each domain."""
    return ", ".join(
        f"{domain} {_count(counts.train)} train and {_count(counts.dev)} dev lists"
        for domain, counts in size.counts.items()
    )


def _count(lists: int | None) -> str:
    return "all" if lists is None else f"{lists:,}"

"""Makes the Markdown of pages."""

from collections.abc import Sequence

from study.harness.records import Record
from study.harness.sizes import Size


def grid(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def page(title: str, size: Size, records: Sequence[Record], *parts: str) -> str:
    """A page: title, settings and machines of the records, and the parts that are not empty."""
    return "\n\n".join([f"# {title}", made_with(size, records), *(part for part in parts if part)]) + "\n"


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

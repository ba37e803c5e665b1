"""Makes the page of Table 7."""

from collections.abc import Sequence
from statistics import median

from study.harness.records import Record, Records
from study.harness.sizes import Size
from study.pages.markdown import grid
from study.pages.markdown import page as whole_page

_TITLES = {
    "adapters": "adapters on one base",
    "full": "full models in LoRB's engine",
    "plain": "full models as transformers loads them",
}
_SWAP_PARTS = ("publish_ms", "load_and_flip_ms", "load_and_flip_processor_ms", "call_ms")
_MIB = 2**20


def page(size: Size, records: Records) -> str:
    """Makes the page from the records."""
    done = list(records.all())
    counts = sorted({int(record.key["domains"]) for record in done})
    title = "Table 7: many domains in one process"
    if not done:
        return whole_page(title, size, done)
    return whole_page(
        title, size, done, _head(done), "## Memory, disk and loading", _loading(records, counts),
        "## A pass of mixed domains", _passes(records, counts), "## A new version", _swaps(records, counts),
    )  # fmt: skip


def _head(done: Sequence[Record]) -> str:
    loads = [load for record in done for load in record.facts["load_average"]]
    return (
        "The shipped LibriSpeech adapter (rank 8, all linear layers) and copies with other weights, MiniLM in fp32. "
        "Full models are the base with an adapter merged into it. Figures are medians, with minimum and maximum in "
        "parentheses: over processes for memory, over domains and processes for loading, over rounds for passes. "
        "Seconds are processor time on one core with files in the page cache; swaps are wall-clock time. The load "
        f"average of the two cores was {min(loads):.1f} to {max(loads):.1f}."
    )


def _loading(records: Records, counts: Sequence[int]) -> str:
    rows = []
    for count in counts:
        for name, title in _TITLES.items():
            found = records.find(of=name, domains=count)
            if not found:
                continue
            loads = [each.figures["loading"]["processor_seconds"] for each in found]
            further = [seconds for each in loads for seconds in each[1:]]
            rows.append((
                str(count), title,
                _spread([each.figures["memory_bytes"]["rss"] / _MIB for each in found], 0),
                _spread([each.figures["memory_bytes"]["anonymous"] / _MIB for each in found], 0),
                f"{found[0].figures['memory_bytes']['weights'] / _MIB:,.0f}",
                f"{found[0].figures['disk_bytes'] / _MIB:,.0f}",
                _spread([each[0] for each in loads], 2),
                _spread(further, 3) if further else "",
                _spread([sum(each) for each in loads], 1),
            ))  # fmt: skip
    columns = (
        "domains", "", "resident, MiB", "of it allocated", "weights, MiB", "files, MiB", "first domain, s",
        "each further, s", "all, s",
    )  # fmt: skip
    note = (
        "Resident: RSS minus that of the process before loading, with all imports. Before it is read, a list is scored "
        "for each domain, every weight is read, and freed pages are returned. Loading an adapter includes digests and "
        "scoring its golden lists; loading a full model in LoRB's engine includes the fingerprint; transformers checks "
        "nothing. Resident pages that are not allocated are memory-mapped files. Only four full models are on disk; "
        "further domains map them again."
    )
    return f"{grid(columns, rows)}\n\n{note}"


def _passes(records: Records, counts: Sequence[int]) -> str:
    rows = []
    for count in counts:
        mixed, apart = (_rounds(records.find(of=name, domains=count)) for name in ("adapters", "full"))
        if mixed and apart:
            ratio = f"{median(apart) / median(mixed):.2f}"
            rows.append((str(count), _spread(mixed, 2), _spread(apart, 2), ratio))
    found = records.find(of="adapters")
    if not rows or not found:
        return "Not done yet."
    passes = found[0].figures["passes"]
    note = (
        f"The same {passes['lists']} LibriSpeech lists, {passes['tokens']:,} tokens, assigned to the domains in turn: "
        "mixed in passes of up to 8192 tokens, or one domain after the other with its own model."
    )
    columns = ("domains", "mixed passes, adapters, s", "a pass for each domain, full models, s", "ratio")
    return f"{grid(columns, rows)}\n\n{note}"


def _rounds(found: Sequence[Record]) -> list[float]:
    return [seconds for each in found for seconds in each.figures["passes"]["processor_seconds"]]


def _swaps(records: Records, counts: Sequence[int]) -> str:
    rows = []
    for count in counts:
        for record in records.find(of="swap", domains=count):
            swaps = record.figures["swaps"]
            total = [sum(parts) for parts in zip(swaps["publish_ms"], swaps["load_and_flip_ms"], strict=True)]
            rows.append((
                str(count), *(_spread(swaps[name], 0) for name in _SWAP_PARTS),
                _spread(total, 0), f"{record.figures['server_rss_mib']['before']:,.0f}",
            ))  # fmt: skip
    if not rows:
        return "Not done yet."
    columns = (
        "domains in the server", "publish, ms", "load, check, flip, ms", "of it processor", "next call, ms",
        "published to served, ms", "server's RSS, MiB",
    )  # fmt: skip
    note = (
        "A new version of one domain in a running `lorb-serve` after RefreshRegistry. Without RefreshRegistry the "
        "server polls every second. Swapping a full model means loading another one (`each further` above), with both "
        "in memory."
    )
    return f"{grid(columns, rows)}\n\n{note}"


def _spread(values: Sequence[float], digits: int) -> str:
    """The median, with minimum and maximum if there are several values."""
    shown = f"{median(values):,.{digits}f}"
    return shown if len(values) == 1 else f"{shown} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"

"""Formats the table that lorb-load prints."""

from lorb_client.load.latencies import Percentiles
from lorb_client.load.result import MAX_LATENESS_MS, LoadResult

_NAME_WIDTH = 30


def report(result: LoadResult) -> list[str]:
    """Returns the lines of the table. Times are in milliseconds."""
    return [
        *_summary_lines(result),
        "",
        f"{'':{_NAME_WIDTH}}{'calls':>10}{'share':>9}",
        *_outcome_lines(result),
        "",
        *_latency_lines(result),
        *_warnings(result),
    ]


def _summary_lines(result: LoadResult) -> list[str]:
    server = result.server
    rescored, partial = result.rescored_hypotheses_per_second, result.partial_hypotheses_per_second
    return [
        _line("server", f"{result.target}  {server['base_name']} {server['dtype']} on {server['device']}"),
        _line("measured", f"{result.seconds:.1f} s, {result.num_due} calls due"),
        _line("offered", f"{result.offered_per_second:.1f} calls/s"),
        _line("answered", f"{result.answered_per_second:.1f} calls/s"),
        _line("within the deadline", f"{_percent(result.within_deadline)} of {result.deadline_seconds * 1000:g} ms"),
        _line("rescored in time", f"{rescored + partial:.1f} hypotheses/s ({rescored:.1f} in whole lists)"),
    ]


def _outcome_lines(result: LoadResult) -> list[str]:
    counts = dict(result.endings)
    if result.num_not_sent:
        counts["not_sent"] = result.num_not_sent
    if result.num_unfinished:
        counts["unfinished"] = result.num_unfinished
    return [
        f"{_with_reason(name):{_NAME_WIDTH}}{count:>10}{_percent(count / result.num_due):>9}"
        for name, count in counts.items()
    ]


def _latency_lines(result: LoadResult) -> list[str]:
    rows = {
        "latency, all calls": result.latency_ms,
        "latency, rescored": result.rescored_latency_ms,
        "sent late by": result.lateness_ms,
    }
    header = "".join(f"{name:>10}" for name in ("p50", "p90", "p99", "p99.9", "max"))
    return [f"{'ms':{_NAME_WIDTH}}{header}"] + [_latency_line(name, row) for name, row in rows.items()]


def _latency_line(name: str, row: Percentiles | None) -> str:
    if row is None:
        return _line(name, "none")
    values = (row.p50, row.p90, row.p99, row.p99_9, row.max)
    return f"{name:{_NAME_WIDTH}}" + "".join(f"{value:>10.2f}" for value in values)


def _warnings(result: LoadResult) -> list[str]:
    warnings = []
    if result.lagged:
        warnings.append(
            f"The generator lagged: 1 % of the calls were sent more than {MAX_LATENESS_MS:g} ms late, and by more than "
            "a tenth of the median latency. The latencies include this delay. Raise --processes or use another machine."
        )
    if result.num_not_sent:
        warnings.append(
            "Some calls were not sent: too many calls were under way. Raise --in-flight-limit, or lower the rate."
        )
    if result.interrupted:
        warnings.append("Interrupted: the figures cover the time before the interruption.")
    return ["", *warnings] if warnings else []


def _with_reason(outcome: str) -> str:
    name, _, reason = outcome.partition(" ")
    return f"{name} ({reason})" if reason else name


def _line(name: str, text: str) -> str:
    return f"{name:{_NAME_WIDTH}}{text}"


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"

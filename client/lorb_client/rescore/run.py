"""One run of lorb-rescore: reads lists, rescores them, writes them and counts word errors."""

import contextlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from lorb.errors import DeadlineExceeded, InvalidInput, Unavailable
from lorb.finding import Severity
from lorb.formats import (
    FormatOptions,
    ListRecord,
    Notices,
    check_writable,
    native_line,
    read_list_records,
    write_native,
)
from lorb.ranked import Ranked, RescoreOptions
from lorb.server_info import ServerInfo
from lorb.wire import check_options
from lorb_client.access import Access
from lorb_client.client import Client
from lorb_client.rescore.output import rescored_fields
from lorb_client.rescore.stream import StreamLimits, rescored_records
from lorb_client.rescore.tally import Tally
from lorb_client.score_notices import notice, suspicious_scores

STDOUT = Path("-")
MAX_SERVER_INFO_SECONDS = 10.0

Answers = Iterable[tuple[ListRecord, Ranked]]


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Configuration of a run of lorb-rescore.

    Attributes:
        files: files of lists, read in order.
        format: format of all files, one of lorb.formats.FORMATS.
        format_options: facts that the files do not hold.
        target: the server, "host:port".
        options: options of every call.
        out: output file; STDOUT for standard output, None for no output.
        send_context: whether to send the context of the lists.
        limits: limits for concurrent calls, for lists in a call, for the deadline, and for waits while the server is
            overloaded.
        allow_rising_scores: whether to rescore lists whose scores look like costs.
        access: token and TLS.
        quiet: whether to hide the progress bar.
    """

    files: tuple[Path, ...]
    format: str
    format_options: FormatOptions
    target: str
    options: RescoreOptions
    out: Path | None
    send_context: bool
    limits: StreamLimits
    allow_rising_scores: bool
    access: Access
    quiet: bool


def run(config: RunConfig) -> Tally:
    """Rescores all lists and writes them. Returns the counts of the run.

    Files, options and server limits are checked before the first rescoring call. Raises LorbError if a check or a call
    fails.
    """
    check_options(config.options)
    if config.out not in (None, STDOUT):
        check_writable(config.out)
    records = _read(config)
    tally = Tally()
    info = _server_info(config)
    _check_limits(records, info)
    limits = _capped(config.limits, info)
    with (
        Client(config.target, wait_for_ready=True, **config.access.as_arguments()) as client,
        contextlib.closing(rescored_records(client, records, config.options, limits, tally.add_retry)) as answers,
        _timeouts_explained(config),
    ):
        _write(config.out, _counted(_with_progress(answers, len(records), tally, config.quiet), tally))
    return tally


def _read(config: RunConfig) -> Sequence[ListRecord]:
    notices = Notices()
    records = read_list_records(
        config.files, format=config.format, options=config.format_options, notices=notices, require_lists=True
    )
    for line in notices.lines():
        _print_notice(line)
    if config.out is None and all(record.nbest.reference is None for record in records):
        raise InvalidInput(
            f"{config.files[0]}: the lists have no references for word error rates: "
            "give -o to write the rescored lists",
            field="out",
        )
    _check_scores(records, config)
    if config.send_context:
        return records
    return [replace(record, nbest=replace(record.nbest, context="")) for record in records]


def _check_scores(records: Sequence[ListRecord], config: RunConfig) -> None:
    """Prints what is suspicious about the first-pass scores. Raises InvalidInput if they look like costs."""
    for finding in suspicious_scores(records):
        if finding.severity is Severity.ERROR and not config.allow_rising_scores:
            raise InvalidInput(f"{notice(finding)} (--allow-rising-scores rescores them as they are)", field="files")
        _print_notice(notice(finding))


def _print_notice(line: str) -> None:
    print(f"lorb-rescore: {line}", file=sys.stderr)  # noqa: T201 - output of a command


def _server_info(config: RunConfig) -> ServerInfo:
    """Asks the server for its limits. Raises Unavailable if no server answers."""
    seconds = min(config.limits.timeout_seconds, MAX_SERVER_INFO_SECONDS)
    try:
        with Client(config.target, timeout_seconds=seconds, **config.access.as_arguments()) as client:
            return client.server_info()
    except (Unavailable, DeadlineExceeded) as error:
        raise Unavailable(f"no server answers at {config.target}: {error.message}") from error


def _check_limits(records: Sequence[ListRecord], info: ServerInfo) -> None:
    """Checks all lists against the server's limits, so that a long run does not fail at a later list."""
    limits = {
        "max_hypotheses": info.max_hypotheses or sys.maxsize,
        "max_transcript_chars": info.max_transcript_chars or sys.maxsize,
    }
    for record in records:
        try:
            record.nbest.check_limits(**limits)
        except InvalidInput as error:
            raise InvalidInput(f"{record.path}:{record.line}: {error.message}", field=error.field) from error


def _capped(limits: StreamLimits, info: ServerInfo) -> StreamLimits:
    server_limit = info.max_batch_lists or limits.lists_per_call
    return replace(limits, lists_per_call=min(limits.lists_per_call, server_limit))


@contextlib.contextmanager
def _timeouts_explained(config: RunConfig) -> Iterator[None]:
    try:
        yield
    except DeadlineExceeded as error:
        if error.__cause__ is None:  # the error of one list, in a call that was answered
            raise
        _server_info(config)  # raises Unavailable if the call timed out because the server is gone
        raise DeadlineExceeded(
            f"a call took longer than {config.limits.timeout_seconds:g} s: raise --timeout-seconds "
            f"or lower --lists-per-call ({error.message})"
        ) from error


class _RetryColumn(ProgressColumn):
    """Shows how many lists were sent again."""

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self._tally = tally

    def render(self, task: Task) -> Text:
        """Returns the cell; empty without retries."""
        return Text(f"{self._tally.num_retried} sent again" if self._tally.num_retried else "")


def _with_progress(answers: Answers, num_lists: int, tally: Tally, quiet: bool) -> Answers:
    columns = (
        TextColumn("rescoring"),
        BarColumn(),
        MofNCompleteColumn(),
        _RetryColumn(tally),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    hidden = quiet or not sys.stderr.isatty()
    with Progress(*columns, console=Console(stderr=True), disable=hidden) as progress:
        yield from progress.track(answers, total=num_lists)


def _counted(answers: Answers, tally: Tally) -> Iterator[dict[str, object]]:
    for record, ranked in answers:
        tally.add(record.nbest, ranked)
        yield rescored_fields(record.fields, ranked)


def _write(out: Path | None, rescored: Iterator[dict[str, object]]) -> None:
    if out is None:
        for _ in rescored:
            pass
    elif out == STDOUT:
        for fields in rescored:
            sys.stdout.buffer.write(native_line(fields))
        sys.stdout.buffer.flush()
    else:
        write_native(out, rescored)

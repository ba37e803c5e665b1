"""Rescores many lists with concurrent BatchRescore calls, and yields the answers in the order of the lists."""

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from threading import Event

from lorb.errors import LorbError, Unauthenticated, Unavailable, UnknownDomain, UnknownVersion
from lorb.formats import ListRecord
from lorb.nbest import NBest
from lorb.ranked import Ranked, RescoreOptions
from lorb_client.client import Client
from lorb_client.rescore.fallback_retries import FallbackRetries
from lorb_client.rescore.retry import retry_overloaded

# Even with four bytes for each character, such a call stays well under the 4 MiB that servers accept.
MAX_CHARS_PER_CALL = 500_000

_Answers = list[Ranked | LorbError]
# The result of a call. It is not a Future: if Ctrl-C arrives while the main thread acquires a Future's condition, the
# condition can stay locked. Then the thread that makes the call never ends.
_Result = SimpleQueue[_Answers | BaseException]
_POLL_SECONDS = 1.0

# Errors of the whole run: a file and line in their message would mislead.
_RUN_ERRORS = (Unauthenticated, Unavailable, UnknownDomain, UnknownVersion)


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Limits of the calls.

    Attributes:
        calls: maximum number of concurrent calls.
        lists_per_call: maximum number of lists in a call.
        timeout_seconds: deadline of each call. A list that was not rescored in time is sent again with more time.
        max_wait_seconds: maximum total pause of each call while the server is overloaded.
    """

    calls: int = 4
    lists_per_call: int = 16
    timeout_seconds: float = 60.0
    max_wait_seconds: float = 60.0


def rescored_records(
    client: Client,
    records: Sequence[ListRecord],
    options: RescoreOptions,
    limits: StreamLimits,
    on_retry: Callable[[], None] = lambda: None,
) -> Generator[tuple[ListRecord, Ranked], None, None]:
    """Yields each record with its re-ranked list, in order.

    Lists that the server had no time or room to rescore are sent again, one at a time, each after a call of `on_retry`.

    Raises the first LorbError of a call or a list. The error of a list names its file and line. After an error, Ctrl-C
    or an early close of the generator, `client` is closed, so that calls under way stop at once.
    """
    stopped = Event()

    def rescore_one(nbest: NBest, timeout_seconds: float) -> Ranked | LorbError:
        return client.rescore_batch([nbest], options, timeout_seconds=timeout_seconds)[0]

    retries = FallbackRetries(
        rescore_one,
        timeout_seconds=limits.timeout_seconds,
        max_wait_seconds=limits.max_wait_seconds,
        pause=stopped.wait,
        on_retry=on_retry,
    )

    def make_call(chunk: Sequence[ListRecord], result: _Result) -> None:
        lists = [record.nbest for record in chunk]
        call = partial(client.rescore_batch, lists, options, timeout_seconds=limits.timeout_seconds)
        try:
            answers = retry_overloaded(call, limits.max_wait_seconds, stopped.wait)
            result.put([retries.improved(nbest, answer) for nbest, answer in zip(lists, answers, strict=True)])
        except BaseException as error:
            result.put(error)

    with ThreadPoolExecutor(limits.calls, thread_name_prefix="lorb-rescore") as pool:
        pending: deque[tuple[Sequence[ListRecord], _Result]] = deque()
        try:
            for chunk in chunks(records, limits.lists_per_call):
                result: _Result = SimpleQueue()
                pending.append((chunk, result))
                pool.submit(make_call, chunk, result)
                if len(pending) > limits.calls:
                    yield from _next_answers(pending)
            while pending:
                yield from _next_answers(pending)
        except BaseException:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            client.close()
            raise


def chunks(records: Sequence[ListRecord], max_lists: int) -> Iterator[Sequence[ListRecord]]:
    """Splits records into chunks, one for each call.

    A chunk has at most `max_lists` lists and MAX_CHARS_PER_CALL characters. A longer list has its own chunk.
    """
    chunk: list[ListRecord] = []
    num_chars = 0
    for record in records:
        size = _num_chars(record.nbest)
        if chunk and (len(chunk) == max_lists or num_chars + size > MAX_CHARS_PER_CALL):
            yield chunk
            chunk, num_chars = [], 0
        chunk.append(record)
        num_chars += size
    if chunk:
        yield chunk


def _num_chars(nbest: NBest) -> int:
    return len(nbest.context) + sum(len(hypothesis.transcript) for hypothesis in nbest.hypotheses)


def _next_answers(pending: deque[tuple[Sequence[ListRecord], _Result]]) -> Iterator[tuple[ListRecord, Ranked]]:
    chunk, result = pending.popleft()
    for record, answer in zip(chunk, _answers(result), strict=True):
        if isinstance(answer, LorbError):
            raise _with_location(answer, record)
        yield record, answer


def _answers(result: _Result) -> _Answers:
    while True:
        try:
            answers = result.get(timeout=_POLL_SECONDS)
        except Empty:  # wait in short steps: a signal just before a wait is handled only after the wait
            continue
        if isinstance(answers, BaseException):
            raise answers
        return answers


def _with_location(error: LorbError, record: ListRecord) -> LorbError:
    if isinstance(error, _RUN_ERRORS):
        return error
    return type(error)(f"{record.path}:{record.line}: {error.message}", field=error.field)

"""Many lists through one client: several BatchRescore calls under way, the answers in the lists' order."""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
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
from lorb_client.rescore.retry import retry_overloaded

# Well under the 4 MiB that servers take, at four bytes a character.
MAX_CHARS_PER_CALL = 500_000

_Answers = list[Ranked | LorbError]
# How a call ends. Not a Future: Ctrl-C while the main thread takes a Future's condition may leave that locked, and then
# the thread that makes the call waits for it for ever.
_Ending = SimpleQueue[_Answers | BaseException]
_LOOK_UP_SECONDS = 1.0

# Errors of the run, not of one list: to name a line would mislead.
_OF_THE_RUN = (Unauthenticated, Unavailable, UnknownDomain, UnknownVersion)


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """How much is asked at a time.

    Attributes:
        calls: under way at once, a count.
        lists_per_call: at most, a count.
        max_wait_seconds: what each call waits in all, and is made again, where the server has no room for it.
    """

    calls: int = 4
    lists_per_call: int = 16
    max_wait_seconds: float = 60.0


def rescored_records(
    client: Client, records: Sequence[ListRecord], options: RescoreOptions, limits: StreamLimits
) -> Generator[tuple[ListRecord, Ranked], None, None]:
    """Yields every record with its answer, in order.

    Raises the first LorbError of a call or of a list, with the list's file and line where it is the list's.
    On any way out but the end, Ctrl-C too, it closes `client`, so that the calls under way stop at once.
    """
    stopped = Event()

    def answer(chunk: Sequence[ListRecord], ending: _Ending) -> None:
        call = partial(client.rescore_batch, _lists(chunk), options)
        try:
            ending.put(retry_overloaded(call, limits.max_wait_seconds, stopped.wait))
        except BaseException as error:
            ending.put(error)

    with ThreadPoolExecutor(limits.calls, thread_name_prefix="lorb-rescore") as pool:
        waiting: deque[tuple[Sequence[ListRecord], _Ending]] = deque()
        try:
            for chunk in chunks(records, limits.lists_per_call):
                ending: _Ending = SimpleQueue()
                waiting.append((chunk, ending))
                pool.submit(answer, chunk, ending)
                if len(waiting) > limits.calls:
                    yield from _next_answers(waiting)
            while waiting:
                yield from _next_answers(waiting)
        except BaseException:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            client.close()
            raise


def chunks(records: Sequence[ListRecord], max_lists: int) -> Iterator[Sequence[ListRecord]]:
    """Cuts `records` into calls of at most `max_lists` and MAX_CHARS_PER_CALL; a larger list goes alone."""
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


def _lists(chunk: Sequence[ListRecord]) -> list[NBest]:
    return [record.nbest for record in chunk]


def _num_chars(nbest: NBest) -> int:
    return len(nbest.context) + sum(len(hypothesis.transcript) for hypothesis in nbest.hypotheses)


def _next_answers(waiting: deque[tuple[Sequence[ListRecord], _Ending]]) -> Iterator[tuple[ListRecord, Ranked]]:
    chunk, ending = waiting.popleft()
    for record, answer in zip(chunk, _answers(ending), strict=True):
        if isinstance(answer, LorbError):
            raise _placed(answer, record)
        yield record, answer


def _answers(ending: _Ending) -> _Answers:
    while True:
        try:
            ended = ending.get(timeout=_LOOK_UP_SECONDS)
        except Empty:  # a signal that came just before the waiting began is heard between two waits only
            continue
        if isinstance(ended, BaseException):
            raise ended
        return ended


def _placed(error: LorbError, record: ListRecord) -> LorbError:
    if isinstance(error, _OF_THE_RUN):
        return error
    return type(error)(f"{record.path}:{record.line}: {error.message}", field=error.field)

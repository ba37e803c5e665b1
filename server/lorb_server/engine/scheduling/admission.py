"""The decision whether a list may wait for the model, and each domain's share of the queue."""

import enum

from lorb_server.engine.scheduling.deadline_queue import DeadlineQueue

# The tokens that a domain has in the queue may reach this multiple of the room that is still free: the dynamic
# threshold of Choudhury and Hahne (1998) for shared buffers. One domain alone gets 2/3 of the queue, each of two busy
# domains 2/5. In simulated overload (tests/server/engine/scheduling/test_scheduler_overload.py) the values 1 to 4 give
# nearly the same throughput; they differ in the throughput of a domain with few calls.
FAIR_SHARE = 2


class Admission(enum.Enum):
    """The decision on a list."""

    ADMITTED = "admitted"
    PROBE = "probe"  # admitted although the list is predicted to be late
    QUEUE_FULL = "queue_full"
    TOO_LATE = "too_late"

    @property
    def is_refusal(self) -> bool:
        """Whether the list is refused a place in the queue."""
        return self in (Admission.QUEUE_FULL, Admission.TOO_LATE)


def has_fair_room(queue: DeadlineQueue, domain: str, tokens: int, max_tokens: float) -> bool:
    """Whether the queue has room for `tokens` more tokens of a domain, and the domain stays within FAIR_SHARE."""
    room = max_tokens - queue.tokens
    return tokens <= room and queue.domain_tokens.get(domain, 0) + tokens <= FAIR_SHARE * room

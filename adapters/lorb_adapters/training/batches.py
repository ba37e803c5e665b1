"""Which lists and which of their hypotheses each step sees."""

import random
from collections.abc import Iterator, Sequence

from lorb_adapters.training.config import TrainConfig
from lorb_adapters.training.data.encoded_lists import ReferencedList

# Lists change places within so many steps alone: enough to even lengths out, and the order stays a draw.
_STEPS_EVENED_OUT = 8


def steps_per_epoch(num_lists: int, config: TrainConfig) -> int:
    """Steps in one pass over the lists."""
    return -(-num_lists // config.lists_per_step)


def batches(lists: Sequence[ReferencedList], config: TrainConfig, num_steps: int) -> Iterator[list[ReferencedList]]:
    """`num_steps` batches; every epoch has its own order and its own hypotheses, drawn from the seed.

    Batches have about equally many tokens: a step's time is steady, and no step learns from short lists alone.
    """
    rng = random.Random(config.seed)  # noqa: S311 - an order, not a secret
    lengths = [each.num_tokens for each in lists]
    while True:
        order = rng.sample(range(len(lists)), len(lists))
        for chosen in _evened_out(order, lengths, config.lists_per_step):
            if num_steps == 0:
                return
            num_steps -= 1
            yield [draw_hypotheses(lists[i], config.hypotheses_per_list, rng).with_reference() for i in chosen]


def draw_hypotheses(each: ReferencedList, count: int, rng: random.Random) -> ReferencedList:
    """The list with its first pass's best and `count` - 1 of the others, in first-pass order."""
    if len(each.rows) <= count:
        return each
    return each.keeping([0, *sorted(rng.sample(range(1, len(each.rows)), count - 1))])


def shares(lengths: Sequence[int], num_shares: int) -> list[list[int]]:
    """Splits things of these lengths into shares of about equal length; each share's positions, ascending.

    The longest goes first, to the share that is shortest so far.
    """
    parts: list[list[int]] = [[] for _ in range(num_shares)]
    totals = [0] * num_shares
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        lightest = min(range(num_shares), key=lambda part: totals[part])
        parts[lightest].append(i)
        totals[lightest] += lengths[i]
    return [sorted(part) for part in parts]


def _evened_out(order: Sequence[int], lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """`order` in batches of `size`, the last one shorter; lists of like length are dealt to different batches."""
    window = _STEPS_EVENED_OUT * size
    for start in range(0, len(order), window):
        drawn = order[start : start + window]
        whole, rest = divmod(len(drawn), size)
        by_length = sorted(drawn[: whole * size], key=lambda i: -lengths[i])
        dealt: list[list[int]] = [[] for _ in range(whole)]
        for turn in range(size):
            hand = by_length[turn * whole : (turn + 1) * whole]
            for part, i in zip(dealt, hand if turn % 2 == 0 else reversed(hand), strict=True):
                part.append(i)
        yield from dealt
        if rest:
            yield list(drawn[whole * size :])

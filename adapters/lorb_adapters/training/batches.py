"""Batches of training lists: their order, the hypotheses drawn for each step, and their split over processes."""

import random
from collections.abc import Iterator, Sequence

from lorb_adapters.training.config import TrainConfig
from lorb_adapters.training.data.encoded_lists import EncodedList

# To give batches about equal lengths, lists are moved between the batches of a window of this many steps, but never to
# another window: apart from these moves, the order stays random.
_BALANCING_WINDOW_STEPS = 8


def steps_per_epoch(num_lists: int, config: TrainConfig) -> int:
    """Returns the number of steps in one epoch."""
    return -(-num_lists // config.lists_per_step)


def batches(lists: Sequence[EncodedList], config: TrainConfig, num_steps: int) -> Iterator[list[EncodedList]]:
    """Yields `num_steps` batches; each epoch draws a new order and new hypotheses from the seed.

    Each batch mixes long and short lists. All batches therefore have about equal numbers of tokens, and all steps take
    about the same time.
    """
    rng = random.Random(config.seed)  # noqa: S311 - an order, not a secret
    lengths = [each.num_tokens for each in lists]
    while True:
        order = rng.sample(range(len(lists)), len(lists))
        for positions in _length_balanced(order, lengths, config.lists_per_step):
            if num_steps == 0:
                return
            num_steps -= 1
            yield [sample_hypotheses(lists[i], config.hypotheses_per_list, rng).with_reference() for i in positions]


def sample_hypotheses(each: EncodedList, count: int, rng: random.Random) -> EncodedList:
    """Returns the list with the first pass's best hypothesis and `count` - 1 random others, in first-pass order."""
    if len(each.rows) <= count:
        return each
    return each.select([0, *sorted(rng.sample(range(1, len(each.rows)), count - 1))])


def balanced_partition(lengths: Sequence[int], num_parts: int) -> list[list[int]]:
    """Splits items of these lengths into parts of about equal total length; returns each part's positions, ascending.

    Items are taken from the longest to the shortest. Each goes to the part that has the smallest total so far.
    """
    parts: list[list[int]] = [[] for _ in range(num_parts)]
    totals = [0] * num_parts
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        lightest = min(range(num_parts), key=lambda part: totals[part])
        parts[lightest].append(i)
        totals[lightest] += lengths[i]
    return [sorted(part) for part in parts]


def _length_balanced(order: Sequence[int], lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Yields `order` in batches of about equal total length; the epoch's last batch may have fewer lists.

    The lists of each window are sorted by length and dealt to the window's batches like cards: one to each batch, from
    the first batch to the last; then one to each, from the last to the first; and so on.
    """
    window = _BALANCING_WINDOW_STEPS * batch_size
    for start in range(0, len(order), window):
        in_window = order[start : start + window]
        num_full, rest = divmod(len(in_window), batch_size)
        by_length = sorted(in_window[: num_full * batch_size], key=lambda i: -lengths[i])
        dealt: list[list[int]] = [[] for _ in range(num_full)]
        for turn in range(batch_size):
            similar = by_length[turn * num_full : (turn + 1) * num_full]
            for batch, i in zip(dealt, similar if turn % 2 == 0 else reversed(similar), strict=True):
                batch.append(i)
        yield from dealt
        if rest:
            yield list(in_window[num_full * batch_size :])

"""Golden lists: dev lists published with their scores, which a server recomputes to verify a loaded adapter."""

from collections.abc import Sequence

from lorb_adapters.store.manifest import GoldenList
from lorb_adapters.training.data.encoded_lists import EncodedList
from lorb_adapters.training.loop import TrainedModel
from lorb_adapters.training.methods import Method

_NUM_GOLDEN_LISTS = 4


def choose_golden_lists(method: Method, trained: TrainedModel, dev: Sequence[EncodedList]) -> tuple[GoldenList, ...]:
    """Returns up to four dev lists with the rescoring scores that a correctly loaded adapter must give them."""
    chosen = short_lists_with_contrast(dev)
    return tuple(
        GoldenList.of(each.nbest, tuple(scores))
        for each, scores in zip(chosen, method.scores(trained.tensors, chosen), strict=True)
    )


def short_lists_with_contrast(dev: Sequence[EncodedList]) -> list[EncodedList]:
    """Returns up to four lists whose texts differ in word errors.

    All such lists are sorted by length; the returned lists are evenly spaced over the shorter half.
    The lists are short because a server scores them on its model thread whenever it loads the adapter, while requests
    wait. The lists differ in length because the model takes different code paths for different lengths.
    """
    by_length = sorted((each for each in dev if len(set(each.errors)) > 1), key=lambda each: each.num_tokens)
    shorter = by_length[: max(_NUM_GOLDEN_LISTS, len(by_length) // 2)]
    count = min(_NUM_GOLDEN_LISTS, len(shorter))
    return [shorter[i * len(shorter) // count] for i in range(count)]

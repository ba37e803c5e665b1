"""Golden lists: dev lists published with their scores, which a server recomputes to verify a loaded adapter."""

import math
import sys
from collections.abc import Sequence

from lorb_adapters.json_files import canonical_json
from lorb_adapters.store.manifest import MAX_GOLDEN_HYPOTHESES, GoldenList
from lorb_adapters.store.version_files import MANIFEST, MAX_BYTES
from lorb_adapters.training.data.encoded_lists import EncodedList
from lorb_adapters.training.loop import TrainedModel
from lorb_adapters.training.methods import Method

NO_GOLDEN_LISTS = (
    "no golden lists: no dev list has texts that differ in word errors and is small enough for a manifest; servers "
    "will load the adapter without comparing scores"
)
_NUM_GOLDEN_LISTS = 4
_GOLDEN_BYTES = MAX_BYTES[MANIFEST] // 2  # the other half is for other fields, such as digests of training files
_LONGEST_SCORE = -sys.float_info.min  # no score has more digits in JSON


def choose_golden_lists(method: Method, trained: TrainedModel, dev: Sequence[EncodedList]) -> tuple[GoldenList, ...]:
    """Returns up to four dev lists with the rescoring scores that a correctly loaded adapter must give them."""
    chosen = short_lists_with_contrast(dev)
    return tuple(
        GoldenList.of(each.nbest, tuple(scores))
        for each, scores in zip(chosen, method.scores(trained.tensors, chosen), strict=True)
    )


def short_lists_with_contrast(dev: Sequence[EncodedList]) -> list[EncodedList]:
    """Returns up to four lists whose texts differ in word errors, and which fit into a manifest together.

    All such lists are sorted by length; the returned lists are evenly spaced over the shorter half.
    The lists are short because a server scores them on its model thread whenever it loads the adapter, while requests
    wait. The lists differ in length because the model takes different code paths for different lengths.

    A list that finds no room left in the manifest is replaced by the shortest of the other lists that does.
    """
    by_length = sorted((each for each in dev if len(set(each.errors)) > 1), key=lambda each: each.num_tokens)
    count = min(_NUM_GOLDEN_LISTS, len(by_length))
    shorter = max(count, len(by_length) // 2)
    spaced = [i * shorter // count for i in range(count)]
    chosen: list[int] = []
    bytes_left, hypotheses_left = float(_GOLDEN_BYTES), MAX_GOLDEN_HYPOTHESES
    for i in dict.fromkeys([*spaced, *range(len(by_length))]):
        size_bytes, num_hypotheses = _size_bytes(by_length[i]), len(by_length[i].nbest.hypotheses)
        if size_bytes <= bytes_left and num_hypotheses <= hypotheses_left:
            chosen.append(i)
            bytes_left, hypotheses_left = bytes_left - size_bytes, hypotheses_left - num_hypotheses
        if len(chosen) == count:
            break
    return [by_length[i] for i in sorted(chosen)]


def _size_bytes(each: EncodedList) -> float:
    """The size of a list in a manifest, whatever its scores will be; infinite if a text has half a surrogate pair."""
    golden = GoldenList.of(each.nbest, (_LONGEST_SCORE,) * len(each.distinct))
    try:
        return len(canonical_json({"golden_lists": [golden]}))
    except ValueError:
        return math.inf

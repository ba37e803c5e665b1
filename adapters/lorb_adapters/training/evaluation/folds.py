"""Divides dev into folds, so that no speaker or dialogue is in two of them as far as the lists' ids tell."""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence

NUM_FOLDS = 5
_SEPARATOR = re.compile(r"[-_./:]")


def groups_by_id(ids: Sequence[str]) -> list[str]:
    """Returns the group of each list: the speaker or the dialogue that its id begins with, or the id itself.

    Ids begin with the speaker or the dialogue and end with the utterance, as in LibriSpeech's 1272-128104-0000. A group
    is the shortest beginning, up to a separator ("-", "_", ".", "/" or ":"), with which no group has more than half of
    the lists. A beginning that almost all ids share, such as "voip" in voip-f246dfe0f2-20130328_161556_0, is thus too
    short. If there is none, for example because one speaker has more than half of the lists, each list is a group.
    """
    parts = [[*(match.start() for match in _SEPARATOR.finditer(each)), len(each)] for each in ids]
    for depth in range(max(map(len, parts), default=0)):
        groups = [each[: ends[min(depth, len(ends) - 1)]] for each, ends in zip(ids, parts, strict=True)]
        if 2 * max(Counter(groups).values()) <= len(ids):
            return groups
    return list(ids)


def fold_numbers(groups: Sequence[str]) -> list[int]:
    """Returns each list's fold, from 0: up to five folds of similar size, or one for each of fewer groups.

    groups: the group of each list; a fold has all lists of its groups. The largest groups are placed first, each in the
    smallest fold so far; a hash of their names orders groups of equal size, so that folds do not follow the file.
    """
    sizes = Counter(groups)
    folds = [0] * min(NUM_FOLDS, len(sizes))
    fold_of = {}
    for name in sorted(sizes, key=lambda each: (-sizes[each], hashlib.sha256(each.encode()).digest())):
        fold_of[name] = folds.index(min(folds))
        folds[fold_of[name]] += sizes[name]
    return [fold_of[name] for name in groups]

"""Confusions: counted on lists, and drawn as often as they were seen."""

import random
from collections import Counter

from lorb.nbest import Hypothesis, NBest
from lorb_adapters.pretraining.corpus.confusions import Confusion, Confusions
from lorb_adapters.text import TextNormalization

PLAIN = TextNormalization()


def nbest(reference, *transcripts):
    return NBest(tuple(Hypothesis(text) for text in transcripts), id=reference, reference=reference)


def counted(*lists):
    return Confusions.from_lists(lists, PLAIN).counts


def test_each_kind_of_error_is_counted_by_what_was_said():
    """Substitutions, deletions, insertions, split and merged words are counted; equal transcripts count once."""
    assert counted(nbest("in the north", "in the norse", "in the norse", "in a north")) == {
        (("north",), ("norse",)): 1,
        (("the",), ("a",)): 1,
    }
    assert counted(nbest("in the north", "in north")) == {(("the",), ()): 1}
    assert counted(nbest("in north", "in the north")) == {((), ("the",)): 1}
    assert counted(nbest("went away then", "went a way then")) == {(("away",), ("a", "way")): 1}
    assert counted(nbest("went a way then", "went away then")) == {(("a", "way"), ("away",)): 1}


def test_long_stretches_of_errors_are_not_counted():
    """A stretch of more than three wrong words gives no confusion."""
    assert counted(nbest("one two three four five", "six seven eight nine five")) == {}


def test_case_is_no_confusion():
    """Reference and hypothesis are normalised before they are compared, so case makes no difference."""
    assert counted(nbest("In The North", "in the north")) == {}


def test_confusions_are_drawn_as_often_as_they_were_seen():
    """Draws have the shares of the counts, and a word without a known confusion has none."""
    confusions = Confusions(Counter({(("north",), ("norse",)): 30, (("north",), ("fourth",)): 10}))
    rng = random.Random(0)
    words = ("the", "north", "wind")
    assert confusions.draw(words, 0, rng) is None
    drawn = Counter(confusions.draw(words, 1, rng) for _ in range(4000))
    assert set(drawn) == {Confusion(1, ("norse",)), Confusion(1, ("fourth",))}
    assert 0.7 < drawn[Confusion(1, ("norse",))] / 4000 < 0.8


def test_insertions_come_anywhere_with_their_share():
    """An insertion is drawn at any word, with its share of the counts."""
    confusions = Confusions(Counter({((), ("the",)): 10, (("a", "way"), ("away",)): 30}))
    rng = random.Random(1)
    drawn = Counter(confusions.draw(("a", "way"), 0, rng) for _ in range(4000))
    assert 0.2 < drawn[Confusion(0, ("the",))] / 4000 < 0.3
    assert drawn[Confusion(2, ("away",))] == 4000 - drawn[Confusion(0, ("the",))]
    assert {confusions.draw(("way",), 0, rng) for _ in range(100)} == {Confusion(0, ("the",)), None}


def test_no_lists_know_no_confusion():
    """Without lists no confusion is drawn, and there is no error."""
    assert Confusions.from_lists((), PLAIN).draw(("a",), 0, random.Random(0)) is None

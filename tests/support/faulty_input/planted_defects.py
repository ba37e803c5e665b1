"""Defects to plant in real lists, each with the finding that the audit must report.

A defect changes the sets (lists by set name) in place; it returns severity, sets, what, count, total and example.
"""

import math
from dataclasses import replace
from pathlib import Path

from lorb.formats import read_nbest_lists
from lorb.nbest import Hypothesis
from lorb_adapters.training.data.audit import Audit, Severity

NOTE, WARNING, ERROR = Severity


def clean_sets(sample: Path):
    """The first 100 lists of train, dev and test of the LibriSpeech sample."""
    return {
        name: read_nbest_lists([sample / f"{name}.jsonl.gz"], require_references=True)[:100]
        for name in ("train", "dev", "test")
    }


def with_scores(nbest, change):
    """The list with `change` applied to every score."""
    return replace(
        nbest, hypotheses=tuple(replace(h, first_pass_score=change(h.first_pass_score)) for h in nbest.hypotheses)
    )


def with_texts(nbest, change):
    """The list with `change` applied to every hypothesis text."""
    return replace(nbest, hypotheses=tuple(replace(h, transcript=change(h.transcript)) for h in nbest.hypotheses))


def duplicate_ids(sets):
    sets["train"].append(replace(sets["dev"][0], id=sets["train"][3].id, reference="nobody said this"))
    return ERROR, "train", "duplicate ids", 1, 101, sets["train"][3].id


def train_ids_in_test(sets):
    sets["train"][5] = replace(sets["train"][5], id=sets["test"][7].id)
    return WARNING, "train and test", "ids in both", 1, 100, sets["test"][7].id


def only_dev_ids_in_train(sets):
    sets["train"][:] = sets["dev"]
    return ERROR, "train and dev", "ids in both", 100, 100, sets["dev"][0].id


def dev_ids_in_test(sets):
    sets["test"][5] = replace(sets["test"][5], id=sets["dev"][7].id)
    return ERROR, "dev and test", "ids in both", 1, 100, sets["dev"][7].id


def long_references_of_train_in_dev(sets):
    copied = next(each for each in sets["train"] if len(each.reference.split()) > 10)
    sets["dev"].append(replace(copied, id="again"))
    return WARNING, "train and dev", "references in both, 8 words or longer", 1, 101, "again"


def short_references_of_train_in_test(sets):
    yes = [Hypothesis("yes it is", -0.5), Hypothesis("yes he is", -1.5)]
    for name in ("train", "test"):
        sets[name].append(replace(sets[name][0], id=f"yes-{name}", reference="yes it is", hypotheses=tuple(yes)))
    return NOTE, "train and test", "references in both", 1, 101, "yes-test"


def absent_references(sets):
    sets["train"][:] = [replace(each, reference=each.reference + " indeed") for each in sets["train"]]
    oracle = Audit.of(sets).facts["train"].oracle_wer
    what = f"reference not among the hypotheses (oracle WER {oracle:.1f})"
    return WARNING, "train", what, 100, 100, sets["train"][0].id


def references_of_other_lists(sets):
    references = [each.reference for each in sets["dev"]]
    sets["dev"][:] = [
        replace(each, reference=other) for each, other in zip(sets["dev"], references[1:] + references[:1], strict=True)
    ]
    oracle = Audit.of(sets).facts["dev"].oracle_wer
    assert oracle > 80
    what = f"reference not among the hypotheses (oracle WER {oracle:.1f})"
    return WARNING, "dev", what, 100, 100, sets["dev"][0].id


def costs(sets):
    sets["train"][:] = [with_scores(each, lambda score: -score) for each in sets["train"]]
    return ERROR, "train", "scores rise from best to worst", 100, 100, sets["train"][0].id


def positive_scores(sets):
    sets["dev"][:] = [with_scores(each, lambda score: score + 1000) for each in sets["dev"]]
    return WARNING, "dev", "only positive scores", 100, 100, sets["dev"][0].id


def probabilities(sets):
    sets["train"][:] = [with_scores(each, math.exp) for each in sets["train"]]
    return WARNING, "train", "scores from 0 to 1, like probabilities", 100, 100, sets["train"][0].id


def a_shuffled_order(sets):
    for i in (4, 8):
        best, second, *others = sets["test"][i].hypotheses
        sets["test"][i] = replace(sets["test"][i], hypotheses=(second, best, *others))
    return NOTE, "test", "first hypothesis has not the best score", 2, 100, sets["test"][4].id


def a_different_order(sets):
    for i in range(20, 40):
        best, second, *others = sets["test"][i].hypotheses
        sets["test"][i] = replace(sets["test"][i], hypotheses=(second, best, *others))
    return WARNING, "test", "first hypothesis has not the best score", 20, 100, sets["test"][20].id


def two_reversed_lists(sets):
    sets["test"][:] = [
        replace(each, hypotheses=tuple(reversed(each.hypotheses)))
        for each in sets["test"]
        if each.reference in {h.transcript for h in each.hypotheses}
    ][:2]
    return WARNING, "test", "first hypothesis has not the best score", 2, 2, sets["test"][0].id


def another_scale(sets):
    train, dev = Audit.of(sets).facts["train"].score_spread, Audit.of(sets).facts["dev"].score_spread
    sets["dev"][:] = [with_scores(each, lambda score: score / 10) for each in sets["dev"]]
    what = f"score spread {dev / 10:.3g} in dev, {train:.3g} in train"
    return WARNING, "train and dev", what, 100, 100, sets["dev"][0].id


def a_pruning_mark(sets):
    likely, *others, last = sets["train"][9].hypotheses
    hypotheses = (likely, *others, replace(last, first_pass_score=-5e9))
    sets["train"][9] = replace(sets["train"][9], hypotheses=hypotheses)
    return NOTE, "train", "scores 10,000 or more below the best", 1, 100, sets["train"][9].id


def scores_missing_from_some(sets):
    sets["dev"][3] = with_scores(sets["dev"][3], lambda score: None)
    return WARNING, "dev", "lists without scores", 1, 100, sets["dev"][3].id


def uppercase_references(sets):
    sets["test"][:] = [replace(each, reference=each.reference.upper()) for each in sets["test"]]
    return WARNING, "test", "word errors of case only", 100, 100, sets["test"][0].id


def one_capital(sets):
    sets["test"][2] = replace(sets["test"][2], reference=sets["test"][2].hypotheses[0].transcript.capitalize())
    return NOTE, "test", "word errors of case only", 1, 100, sets["test"][2].id


def uppercase_dev(sets):
    sets["dev"][:] = [replace(with_texts(each, str.upper), reference=each.reference.upper()) for each in sets["dev"]]
    return WARNING, "train and dev", "hypotheses in upper case, train's in lower case", 100, 100, sets["dev"][0].id


def one_hypothesis(sets):
    sets["train"][6] = replace(sets["train"][6], hypotheses=sets["train"][6].hypotheses[:1])
    return NOTE, "train", "lists of one hypothesis", 1, 100, sets["train"][6].id


def mostly_one_hypothesis(sets):
    sets["dev"][:60] = [with_texts(each, lambda _, each=each: each.reference) for each in sets["dev"][:60]]
    return WARNING, "dev", "lists of one hypothesis", 60, 100, sets["dev"][0].id


def an_empty_reference(sets):
    sets["test"][1] = replace(sets["test"][1], reference=" ")
    return WARNING, "test", "empty references", 1, 100, sets["test"][1].id


def empty_references(sets):
    sets["test"][:] = [replace(each, reference="") for each in sets["test"]]
    return ERROR, "test", "empty references", 100, 100, sets["test"][0].id


DEFECTS = [
    duplicate_ids, train_ids_in_test, only_dev_ids_in_train, dev_ids_in_test, long_references_of_train_in_dev,
    short_references_of_train_in_test, absent_references, references_of_other_lists, costs, positive_scores,
    probabilities, a_shuffled_order, a_different_order, two_reversed_lists, another_scale, a_pruning_mark,
    scores_missing_from_some, uppercase_references, one_capital, uppercase_dev, one_hypothesis, mostly_one_hypothesis,
    an_empty_reference, empty_references,
]  # fmt: skip

"""lorb_client.rescore.tally: counts of a run, and word error rates as jiwer has them."""

import jiwer

from lorb.nbest import Hypothesis, NBest
from lorb.ranked import FallbackReason, Outcome, Ranked, RankedHypothesis, RescoreOptions
from lorb_client.rescore.tally import Tally
from support.servers.rescoring_server import ADAPTER, turned_round


def test_rates_of_real_lists_equal_jiwers(sample_lists):
    """First pass, rescored and oracle, pooled over the sample, to the two decimals of the last line."""
    tally = Tally()
    for nbest in sample_lists:
        tally.add(nbest, turned_round(nbest, RescoreOptions()))
    references = [nbest.reference for nbest in sample_lists]
    texts = [[hypothesis.transcript for hypothesis in nbest.hypotheses] for nbest in sample_lists]
    oracle = [min(t, key=lambda h: jiwer.process_words(r, h).wer) for r, t in zip(references, texts, strict=True)]
    rates = [100 * jiwer.wer(references, h) for h in ([t[0] for t in texts], [t[-1] for t in texts], oracle)]
    assert tally.lines()[-1] == "WER first-pass {:.2f} rescored {:.2f} oracle {:.2f}".format(*rates)
    assert (tally.num_lists, tally.first_pass.utterances) == (len(sample_lists), len(sample_lists))


def test_lists_without_references_count_but_have_no_errors(sample_lists):
    """The rate is of the lists that can be judged."""
    tally = Tally()
    for nbest in (sample_lists[0], NBest((Hypothesis("a"), Hypothesis("b")))):
        tally.add(nbest, turned_round(nbest, RescoreOptions()))
    assert (tally.num_lists, tally.rescored.utterances) == (2, 1)


def test_without_references_no_rate_is_printed():
    """The last line is for programs: it is there only if it is true."""
    nbest = NBest((Hypothesis("a"),))
    tally = Tally()
    tally.add(nbest, turned_round(nbest, RescoreOptions()))
    assert not any("WER" in line for line in tally.lines())


def test_a_list_is_changed_when_its_best_text_is_another():
    """White space is no change, and neither is a new order behind the best."""
    nbest = NBest((Hypothesis("a b"), Hypothesis(" a  b"), Hypothesis("c")))
    tally = Tally()
    for best in range(3):
        tally.add(nbest, Ranked((RankedHypothesis(best, nbest.hypotheses[best].transcript),), Outcome.RESCORED))
    assert tally.num_changed == 1


def test_outcomes_and_adapters_are_counted():
    """A run that met a full queue or a flipped version says so."""
    nbest = NBest((Hypothesis("a"),))
    hypotheses = (RankedHypothesis(0, "a", truncated=True),)
    tally = Tally()
    for _ in range(2):
        tally.add(nbest, Ranked(hypotheses, Outcome.RESCORED, adapter=ADAPTER))
    tally.add(nbest, Ranked(hypotheses, Outcome.FIRST_PASS, "", FallbackReason.QUEUE_FULL))
    text = "\n".join(tally.lines())
    assert "rescored 2, first_pass (queue_full) 1" in text
    assert "librispeech 1-0123456789ab 2" in text
    assert tally.num_truncated == 3

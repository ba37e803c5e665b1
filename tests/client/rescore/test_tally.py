"""lorb_client.rescore.tally: counts and word error rates of a run."""

import jiwer

from lorb.nbest import Hypothesis, NBest
from lorb.ranked import FallbackReason, Outcome, Ranked, RankedHypothesis, RescoreOptions
from lorb_client.rescore.tally import Tally
from support.servers.rescoring_server import ADAPTER, reversed_ranking


def test_rates_of_real_lists_equal_jiwers(sample_lists):
    """The rates of the sample (first pass, rescored, oracle) equal jiwer's."""
    tally = Tally()
    for nbest in sample_lists:
        tally.add(nbest, reversed_ranking(nbest, RescoreOptions()))
    references = [nbest.reference for nbest in sample_lists]
    texts = [[hypothesis.transcript for hypothesis in nbest.hypotheses] for nbest in sample_lists]
    oracle = [min(t, key=lambda h: jiwer.process_words(r, h).wer) for r, t in zip(references, texts, strict=True)]
    rates = [100 * jiwer.wer(references, h) for h in ([t[0] for t in texts], [t[-1] for t in texts], oracle)]
    assert tally.lines()[-1] == "WER first-pass {:.2f} rescored {:.2f} oracle {:.2f}".format(*rates)
    assert (tally.num_lists, tally.first_pass.utterances) == (len(sample_lists), len(sample_lists))


def test_lists_without_references_count_but_have_no_errors(sample_lists):
    """A list without reference is counted but has no part in the rates."""
    tally = Tally()
    for nbest in (sample_lists[0], NBest((Hypothesis("a"), Hypothesis("b")))):
        tally.add(nbest, reversed_ranking(nbest, RescoreOptions()))
    assert (tally.num_lists, tally.rescored.utterances) == (2, 1)


def test_without_references_no_rate_is_printed():
    """Without references no rate is printed."""
    nbest = NBest((Hypothesis("a"),))
    tally = Tally()
    tally.add(nbest, reversed_ranking(nbest, RescoreOptions()))
    assert not any("WER" in line for line in tally.lines())


def test_a_list_is_changed_when_its_best_text_is_another():
    """A list counts as changed if its best text differs in more than white space."""
    nbest = NBest((Hypothesis("a b"), Hypothesis(" a  b"), Hypothesis("c")))
    tally = Tally()
    for best in range(3):
        tally.add(nbest, Ranked((RankedHypothesis(best, nbest.hypotheses[best].transcript),), Outcome.RESCORED))
    assert tally.num_changed == 1


def test_the_advice_fits_the_reasons():
    """Each reason has its own advice: more time does not help against invalid scores or reasons of newer servers."""
    nbest, hypotheses = NBest((Hypothesis("a"),)), (RankedHypothesis(0, "a"),)
    tally = Tally()
    assert tally.advice() == ""
    for outcome, reason in [
        (Outcome.RESCORED, None),
        (Outcome.FIRST_PASS, FallbackReason.INVALID_SCORE),
        (Outcome.FIRST_PASS, FallbackReason.INVALID_SCORE),
        (Outcome.FIRST_PASS, FallbackReason.UNKNOWN),
        (Outcome.UNKNOWN, None),
    ]:
        tally.add(nbest, Ranked(hypotheses, outcome, fallback_reason=reason))
    invalid, unknown = tally.advice().split("; ")
    assert invalid == "2 with scores that are not finite: roll the adapter back, or train it again"
    assert unknown.startswith("2 for a reason that only newer releases know: install")
    for outcome, reason in [
        (Outcome.PARTIAL, FallbackReason.DEADLINE),
        (Outcome.FIRST_PASS, FallbackReason.QUEUE_FULL),
    ]:
        tally.add(nbest, Ranked(hypotheses, outcome, fallback_reason=reason))
    assert tally.advice().startswith("2 without time or room: raise --timeout-seconds, lower --concurrency, or ")
    assert (tally.num_incomplete, tally.is_incomplete) == (6, True)


def test_outcomes_and_adapters_are_counted():
    """Outcomes, fallback reasons, adapter versions and truncated lists are counted."""
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

"""lorb_server.rescoring.rescorer: lists that are rescored in full."""

from dataclasses import replace

import pytest

from lorb.nbest import Hypothesis, NBest
from lorb.ranked import Outcome, RescoreOptions, Selection
from support.engine.rescorer_bench import ADAPTER, CANARY, LIST
from support.servers.serving import scored_list
from support.servers.stub_model import adapter_weights, stub_score


def test_scores_belong_to_their_texts(run):
    """Each hypothesis has the score of its own text under the pinned adapter; copies share it."""

    async def test(bench):
        ranked = await bench.rescore()
        texts = [hypothesis.transcript for hypothesis in ranked.hypotheses]
        rows = bench.text_encoder.encode(texts, "", ADAPTER.normalization, False)
        assert [h.rescoring_score for h in ranked.hypotheses] == [stub_score(r, adapter_weights(1)) for r in rows]
        assert ranked.outcome is Outcome.RESCORED
        assert (ranked.id, ranked.adapter) == ("u7", ADAPTER.ref)
        assert sorted(h.index for h in ranked.hypotheses) == [0, 1, 2, 3]
        assert bench.sample("lorb_rescore_hypotheses_total", kind="scored") == 3
        assert bench.sample("lorb_rescore_hypotheses_total", kind="deduplicated") == 1
        assert bench.sample("lorb_first_pass_score_magnitude_total", sign="negative") == 1.0
        assert bench.sample("lorb_rescore_requests_total", outcome="rescored", reason="") == 1

    run(test)


def test_one_text_needs_no_model(run):
    """A list of equal texts is answered with posterior 1, without scores and without the model."""

    async def test(bench):
        ranked = await bench.rescore(scored_list("the cat", "the  cat "))
        assert ranked.outcome is Outcome.RESCORED
        assert [h.posterior for h in ranked.hypotheses] == [1.0, 0.0]
        assert [h.rescoring_score for h in ranked.hypotheses] == [None, None]
        assert bench.model.passes == []

    run(test)


@pytest.mark.parametrize("selection", list(Selection))
def test_both_selections_answer_in_full(run, selection):
    """Both selections return all hypotheses with posteriors."""

    async def test(bench):
        ranked = await bench.rescore(LIST, RescoreOptions(selection=selection))
        assert sorted(h.index for h in ranked.hypotheses) == [0, 1, 2, 3]
        assert all(h.posterior is not None for h in ranked.hypotheses)

    run(test)


def test_top_n_cuts_the_answer(run):
    """`top_n` returns the best hypotheses, whatever the outcome."""

    async def test(bench):
        full = await bench.rescore()
        assert (await bench.rescore(LIST, RescoreOptions(top_n=2))).hypotheses == full.hypotheses[:2]
        late = await bench.rescore(LIST, RescoreOptions(top_n=2), seconds=-1.0)
        assert [h.index for h in late.hypotheses] == [0, 3]

    run(test)


def test_only_rescored_lists_are_offered_to_the_shadow(run):
    """Only fully rescored lists of domains with a shadow are offered to the shadow."""

    async def test(bench):
        shown = await bench.rescore(shadow=CANARY)
        await bench.rescore(seconds=-1.0, shadow=CANARY)
        await bench.rescore(scored_list("alone"), shadow=CANARY)
        await bench.rescore()
        assert bench.offered == [shown]

    run(test)


def test_long_texts_are_flagged_and_counted(run):
    """A hypothesis longer than the model's limit is flagged and counted as truncated."""

    async def test(bench):
        ranked = await bench.rescore(scored_list("the " * 100, "a cat"))
        assert {h.index: h.truncated for h in ranked.hypotheses} == {0: True, 1: False}
        assert bench.sample("lorb_truncated_hypotheses_total") == 1

    run(test)


def test_a_changed_best_hypothesis_is_counted(run):
    """A list whose best text differs from the first pass is counted once."""

    async def test(bench):
        unchanged = await bench.rescore(LIST, RescoreOptions(rescoring_weight=0.0))
        assert unchanged.hypotheses[0].index == 0
        assert unchanged.hypotheses[0].rescoring_score is not None
        assert bench.sample("lorb_rank_changed_total") == 0
        texts = ("the cat sat", "the cat sad")
        orders = [
            await bench.rescore(scored_list(*texts)),
            await bench.rescore(scored_list(*reversed(texts))),
        ]
        assert len({ranked.hypotheses[0].transcript for ranked in orders}) == 1
        assert bench.sample("lorb_rank_changed_total") == 1

    run(test)


def test_the_context_reaches_the_adapters_that_use_it(run):
    """The context changes the scores only of adapters that use it."""

    async def test(bench):
        plain = await bench.rescore()
        turn = replace(LIST, context="turn the light off")
        assert (await bench.rescore(turn)).hypotheses == plain.hypotheses
        using = replace(ADAPTER, uses_context=True)
        assert (await bench.rescore(turn, adapter=using)).hypotheses != plain.hypotheses

    run(test)


def test_lists_without_scores_are_ranked(run):
    """Lists without first-pass scores are ranked with the rank prior."""

    async def test(bench):
        ranked = await bench.rescore(NBest((Hypothesis("the cat"), Hypothesis("a cat"))))
        assert ranked.outcome is Outcome.RESCORED
        assert all(h.combined_score is not None for h in ranked.hypotheses)

    run(test)

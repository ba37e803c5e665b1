"""PocketSphinx as a client: real speech, its real model, a real server."""

import pytest

pytest.importorskip("pocketsphinx", reason="pocketsphinx is not installed: pip install '.[examples]'")

from lorb import Hypothesis
from lorb.word_errors import oracle_errors, word_errors
from recordings import samples_of
from rescore_pocketsphinx import MAX_HYPOTHESES, main, nbest_of, recogniser

SAID = "is there a cheap restaurant in the north of the town"


@pytest.fixture(scope="module")
def decoder():
    """PocketSphinx with its own model."""
    return recogniser()


def test_speech_becomes_a_list(decoder, recording):
    """Distinct texts with falling finite scores; the decoder's own best is first, and what was said is near."""
    nbest = nbest_of(decoder, samples_of(recording))
    texts = [hypothesis.transcript for hypothesis in nbest.hypotheses]
    scores = [hypothesis.first_pass_score for hypothesis in nbest.hypotheses]
    assert texts[0] == decoder.hyp().hypstr
    assert len(set(texts)) == len(texts) == MAX_HYPOTHESES
    assert scores == sorted(scores, reverse=True)
    assert oracle_errors(SAID, texts) <= word_errors(SAID, texts[0]) <= 2


def test_scores_are_of_the_size_of_a_word_s(decoder, recording):
    """Hypotheses a word or two apart differ by some nats: neither by PocketSphinx' thousandths nor by hundreds."""
    scores = [h.first_pass_score for h in nbest_of(decoder, samples_of(recording)).hypotheses]
    assert 0.5 < scores[0] - scores[-1] < 50


@pytest.mark.parametrize("num_samples", [0, 160, 1600])
def test_next_to_nothing_is_one_empty_hypothesis(decoder, num_samples):
    """Audio too short for a word, or none at all, is a list that a server takes."""
    [only] = nbest_of(decoder, bytes(2 * num_samples)).hypotheses
    assert only == Hypothesis("", 0.0)


def test_the_command_prints_before_and_after(server, recording, capsys):
    """From audio to the best hypothesis of before and of after."""
    assert main([str(recording), "--target", server.target]) == 0
    head, before, after = capsys.readouterr().out.splitlines()
    assert head.endswith(f"{MAX_HYPOTHESES} hypotheses")
    assert word_errors(SAID, before.removeprefix("  first pass  ")) <= 2
    assert after.startswith("  rescored    ")

"""The PocketSphinx example with real speech, the model of its package and a real server."""

import pytest

pytest.importorskip("pocketsphinx", reason="pocketsphinx is not installed: pip install '.[examples]'")

from lorb import Hypothesis
from lorb.word_errors import oracle_errors, word_errors
from recordings import read_samples
from rescore_pocketsphinx import MAX_HYPOTHESES, decode_nbest, main, make_decoder

SAID = "is there a cheap restaurant in the north of the town"


@pytest.fixture(scope="module")
def decoder():
    """PocketSphinx with the model of its package."""
    return make_decoder()


def test_speech_is_decoded_to_a_list(decoder, recording):
    """The list has distinct texts with falling scores, begins with the decoder's best, and has at most two errors."""
    nbest = decode_nbest(decoder, read_samples(recording))
    texts = [hypothesis.transcript for hypothesis in nbest.hypotheses]
    scores = [hypothesis.first_pass_score for hypothesis in nbest.hypotheses]
    assert texts[0] == decoder.hyp().hypstr
    assert len(set(texts)) == len(texts) == MAX_HYPOTHESES
    assert scores == sorted(scores, reverse=True)
    assert oracle_errors(SAID, texts) <= word_errors(SAID, texts[0]) <= 2


def test_scores_are_natural_logs(decoder, recording):
    """The scores of the best and the last hypothesis differ by 0.5 to 50 nats, as natural logs do."""
    scores = [h.first_pass_score for h in decode_nbest(decoder, read_samples(recording)).hypotheses]
    assert 0.5 < scores[0] - scores[-1] < 50


@pytest.mark.parametrize("num_samples", [0, 160, 1600])
def test_very_short_audio_is_one_empty_hypothesis(decoder, num_samples):
    """Audio that is empty or too short for a word gives one hypothesis without words."""
    [only] = decode_nbest(decoder, bytes(2 * num_samples)).hypotheses
    assert only == Hypothesis("", 0.0)


def test_the_command_prints_before_and_after(server, recording, capsys):
    """The command prints the best hypothesis of PocketSphinx and of the server."""
    assert main([str(recording), "--target", server.target]) == 0
    head, before, after = capsys.readouterr().out.splitlines()
    assert head.endswith(f"{MAX_HYPOTHESES} hypotheses")
    assert word_errors(SAID, before.removeprefix("  first pass  ")) <= 2
    assert after.startswith("  rescored    ")

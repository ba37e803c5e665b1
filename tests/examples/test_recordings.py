"""What the examples with audio do around the recogniser."""

import wave

import pytest

from lorb import Hypothesis, NBest, RescoreOptions
from lorb_client import Client
from recordings import arguments_parser, rescore_recordings, samples_of

LIST = NBest((Hypothesis("they's iron", -5.1), Hypothesis("there's iron", -5.3)))


def run(server, recognise, *argv):
    return rescore_recordings(arguments_parser("").parse_args([*argv, "--target", server.target]), recognise)


def test_the_best_is_printed_before_and_after(server, recording, capsys):
    """What the recogniser put first, and what a direct call to the same server puts first."""
    assert run(server, lambda samples: LIST, str(recording)) == 0
    with Client(server.target) as client:
        best = client.rescore(LIST, RescoreOptions(domain="librispeech")).hypotheses[0].transcript
    assert best == "there's iron"
    said = capsys.readouterr().out.splitlines()
    assert said == [f"{recording}: 2 hypotheses", "  first pass  they's iron", f"  rescored    {best}"]


def test_a_recording_of_another_kind_is_refused(server, tmp_path, capsys):
    """Its rate and the command that changes it are told; nothing is decoded."""
    other = tmp_path / "phone.wav"
    with wave.open(str(other), "wb") as audio:
        audio.setparams((1, 2, 8000, 0, "NONE", ""))
        audio.writeframes(bytes(1600))
    with pytest.raises(ValueError, match=r"8000 Hz, 1 channels, 16 bits.*sox"):
        samples_of(other)
    assert run(server, pytest.fail, str(other)) == 1
    assert "8000 Hz" in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, b"", b"RIFF, but no more"])
def test_what_is_no_recording_is_a_sentence(server, tmp_path, capsys, content):
    """A file that is missing, empty or torn ends in one line and status 1."""
    torn = tmp_path / "torn.wav"
    if content is not None:
        torn.write_bytes(content)
    assert run(server, pytest.fail, str(torn)) == 1
    assert capsys.readouterr().err.startswith(f"{torn}: ")


def test_a_domain_that_is_not_served_is_a_sentence(server, recording, capsys):
    """The server's words, and status 1."""
    assert run(server, lambda samples: LIST, str(recording), "--domain", "nowhere") == 1
    assert "nowhere" in capsys.readouterr().err

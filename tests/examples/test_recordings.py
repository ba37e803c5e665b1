"""Reading of recordings, and output of the examples that decode them."""

import wave

import pytest

from lorb import Hypothesis, NBest, RescoreOptions
from lorb_client import Client
from recordings import argument_parser, read_samples, rescore_recordings

LIST = NBest((Hypothesis("they's iron", -5.1), Hypothesis("there's iron", -5.3)))


def run(server, recognise, *argv):
    return rescore_recordings(argument_parser("").parse_args([*argv, "--target", server.target]), recognise)


def test_the_best_hypothesis_is_printed_before_and_after(server, recording, capsys):
    """The output has the best hypothesis of the recogniser and the best one of a direct call to the server."""
    assert run(server, lambda samples: LIST, str(recording)) == 0
    with Client(server.target) as client:
        best = client.rescore(LIST, RescoreOptions(domain="librispeech")).hypotheses[0].transcript
    assert best == "there's iron"
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"{recording}: 2 hypotheses", "  first pass  they's iron", f"  rescored    {best}"]


def test_a_recording_with_another_sample_rate_is_refused(server, tmp_path, capsys):
    """The error names the format and the sox command that converts the file; nothing is decoded."""
    other = tmp_path / "phone.wav"
    with wave.open(str(other), "wb") as audio:
        audio.setparams((1, 2, 8000, 0, "NONE", ""))
        audio.writeframes(bytes(1600))
    with pytest.raises(ValueError, match=r"8000 Hz, 1 channels, 16 bits.*sox"):
        read_samples(other)
    assert run(server, pytest.fail, str(other)) == 1
    assert "8000 Hz" in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, b"", b"RIFF, but no more"])
def test_an_invalid_recording_is_an_error(server, tmp_path, capsys, content):
    """A missing, empty or truncated file gives an error that begins with its path, and status 1."""
    truncated = tmp_path / "truncated.wav"
    if content is not None:
        truncated.write_bytes(content)
    assert run(server, pytest.fail, str(truncated)) == 1
    assert capsys.readouterr().err.startswith(f"{truncated}: ")


def test_an_unknown_domain_is_an_error(server, recording, capsys):
    """An unknown domain gives the server's error, which names it, and status 1."""
    assert run(server, lambda samples: LIST, str(recording), "--domain", "nowhere") == 1
    assert "nowhere" in capsys.readouterr().err

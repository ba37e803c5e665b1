"""Arguments, audio reading and output of the examples that decode recordings."""

import argparse
import sys
import wave
from collections.abc import Callable
from pathlib import Path

from lorb import LorbError, NBest, RescoreOptions
from lorb_client import Client

SAMPLE_RATE_HZ = 16_000  # the rate that the speech models are trained on
TIMEOUT_SECONDS = 10.0


def read_samples(recording: Path) -> bytes:
    """Reads the 16-bit samples of a WAV file. Raises ValueError unless it has 16 kHz, one channel and 16 bits."""
    with wave.open(str(recording)) as audio:
        audio_format = (audio.getframerate(), audio.getnchannels(), audio.getsampwidth())
        if audio_format != (SAMPLE_RATE_HZ, 1, 2):
            rate, channels, width = audio_format
            raise ValueError(
                f"the file has {rate} Hz, {channels} channels, {8 * width} bits; the models need 16000 Hz, 1 channel, "
                f"16 bits: convert it with sox {recording} -r 16000 -c 1 -b 16 OUT.wav"
            )
        return audio.readframes(audio.getnframes())


def argument_parser(description: str) -> argparse.ArgumentParser:
    """Creates a parser with the arguments WAV, --target and --domain."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="+", type=Path, metavar="WAV")
    parser.add_argument("--target", default="localhost:50051", metavar="HOST:PORT")
    parser.add_argument("--domain", default="librispeech")
    return parser


def rescore_recordings(arguments: argparse.Namespace, recognise: Callable[[bytes], NBest]) -> int:
    """Decodes and rescores each recording, prints the best hypothesis before and after; returns the exit status."""
    with Client(arguments.target) as client:
        for recording in arguments.recordings:
            try:
                nbest = recognise(read_samples(recording))
                ranked = client.rescore(nbest, RescoreOptions(domain=arguments.domain), timeout_seconds=TIMEOUT_SECONDS)
            except (LorbError, OSError, ValueError, wave.Error, EOFError) as error:
                print(f"{recording}: {error}", file=sys.stderr)
                return 1
            print(f"{recording}: {len(nbest.hypotheses)} hypotheses")
            print(f"  first pass  {nbest.first_pass_text}")
            print(f"  {ranked.outcome.value:12}{ranked.hypotheses[0].transcript}")
    return 0

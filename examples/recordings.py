"""What the examples with audio share: their arguments, the samples of a recording, the lists before and after."""

import argparse
import sys
import wave
from collections.abc import Callable
from pathlib import Path

from lorb import LorbError, NBest, RescoreOptions
from lorb_client import Client

SAMPLES_PER_SECOND = 16_000  # what speech models are trained at
SECONDS_TO_ANSWER = 10.0


def samples_of(recording: Path) -> bytes:
    """The 16-bit samples of a WAV file. Raises ValueError where it is not what the models were made for."""
    with wave.open(str(recording)) as audio:
        found = (audio.getframerate(), audio.getnchannels(), audio.getsampwidth())
        if found != (SAMPLES_PER_SECOND, 1, 2):
            raise ValueError(
                f"it has {found[0]} Hz, {found[1]} channels, {8 * found[2]} bits, and 16000 Hz, one channel, 16 bits "
                f"are needed: sox {recording} -r 16000 -c 1 -b 16 OUT.wav"
            )
        return audio.readframes(audio.getnframes())


def arguments_parser(description: str) -> argparse.ArgumentParser:
    """A parser of recordings, --target and --domain."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="+", type=Path, metavar="WAV")
    parser.add_argument("--target", default="localhost:50051", metavar="HOST:PORT")
    parser.add_argument("--domain", default="librispeech")
    return parser


def rescore_recordings(arguments: argparse.Namespace, recognise: Callable[[bytes], NBest]) -> int:
    """Decodes each recording, has the list rescored, prints the best before and after; returns the exit status."""
    with Client(arguments.target) as client:
        for recording in arguments.recordings:
            try:
                nbest = recognise(samples_of(recording))
                ranked = client.rescore(
                    nbest, RescoreOptions(domain=arguments.domain), timeout_seconds=SECONDS_TO_ANSWER
                )
            except (LorbError, OSError, ValueError, wave.Error, EOFError) as error:
                print(f"{recording}: {error}", file=sys.stderr)
                return 1
            print(f"{recording}: {len(nbest.hypotheses)} hypotheses")
            print(f"  first pass  {nbest.hypotheses[0].transcript}")
            print(f"  rescored    {ranked.hypotheses[0].transcript}")
    return 0

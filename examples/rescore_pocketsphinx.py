"""Audio through PocketSphinx and LoRB: decodes recordings to N-best lists, has them rescored, prints both.

    pip install '.[examples]'
    flite -voice slt -t "is there a cheap restaurant in the north" -o said.wav
    python examples/rescore_pocketsphinx.py said.wav --target localhost:50051 --domain librispeech

PocketSphinx brings its own model of American English.
"""

import itertools
import math
import sys

from pocketsphinx import Decoder

from lorb import Hypothesis, NBest
from recordings import SAMPLES_PER_SECOND, arguments_parser, rescore_recordings

MAX_HMMS_PER_FRAME = 3000  # PocketSphinx' own is 30000: half as long again for nearly the same words on clean speech
NUM_PATHS = 150  # through the lattice; many have the same words
MAX_HYPOTHESES = 20
# PocketSphinx' scores are logarithms without their last 10 bits (SENSCR_SHIFT, src/hmm.h), and Python is given the
# exponential of that.
SCORE_UNIT = 2**10


def recogniser() -> Decoder:
    """PocketSphinx with its own model. Takes a second or two."""
    return Decoder(samprate=SAMPLES_PER_SECOND, maxhmmpf=MAX_HMMS_PER_FRAME, loglevel="FATAL")


def nbest_of(decoder: Decoder, samples: bytes) -> NBest:
    """What the recogniser thinks was said, best first: distinct texts with natural-log scores.

    It gives paths roughly in order of score, and the same words by several of them: each text is kept with its best
    score, and the list is sorted. The language model is in a score times its weight (lw); divided by that, scores of
    a list are as far apart as those of other recognisers.
    """
    decoder.start_utt()
    if samples:  # an empty buffer is an IndexError
        decoder.process_raw(samples, full_utt=True)
    decoder.end_utt()
    own_best = decoder.hyp()
    scores: dict[str, float] = {}
    for path in itertools.islice(decoder.nbest(), NUM_PATHS) if own_best else ():
        if path is not None:  # a path without words
            score = math.log(path.score) * SCORE_UNIT / decoder.config["lw"]
            scores[path.hypstr] = max(score, scores.get(path.hypstr, -math.inf))
    if not scores:
        return NBest((Hypothesis(own_best.hypstr if own_best else "", 0.0),))
    best = sorted(scores, key=lambda text: -scores[text])[:MAX_HYPOTHESES]
    return NBest(tuple(Hypothesis(text, scores[text]) for text in best))


def main(argv: list[str] | None = None) -> int:
    arguments = arguments_parser(__doc__).parse_args(argv)
    decoder = recogniser()
    return rescore_recordings(arguments, lambda samples: nbest_of(decoder, samples))


if __name__ == "__main__":
    sys.exit(main())

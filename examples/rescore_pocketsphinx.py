"""Decodes recordings with PocketSphinx, rescores the N-best lists, and prints the best hypothesis before and after.

    pip install '.[examples]'
    flite -voice slt -t "is there a cheap restaurant in the north" -o said.wav
    python examples/rescore_pocketsphinx.py said.wav --target localhost:50051 --domain librispeech

The PocketSphinx package contains a model of American English.
"""

import itertools
import math
import sys

from pocketsphinx import Decoder

from lorb import Hypothesis, NBest
from recordings import SAMPLE_RATE_HZ, argument_parser, rescore_recordings

MAX_HMMS_PER_FRAME = 3000  # the default of 30000 takes 1.5 times as long for nearly the same words on clean speech
NUM_PATHS = 150  # paths through the lattice; many of them have the same words
MAX_HYPOTHESES = 20
# PocketSphinx drops the last 10 bits of its log scores (SENSCR_SHIFT, src/hmm.h); its Python package returns the
# exponential of the result.
SCORE_UNIT = 2**10


def make_decoder() -> Decoder:
    """Creates a PocketSphinx decoder with the model of its package. Takes a second or two."""
    return Decoder(samprate=SAMPLE_RATE_HZ, maxhmmpf=MAX_HMMS_PER_FRAME, loglevel="FATAL")


def decode_nbest(decoder: Decoder, samples: bytes) -> NBest:
    """Decodes 16-bit samples to an N-best list: distinct texts with natural-log scores, best first.

    PocketSphinx returns paths roughly in order of score, and several paths may have the same words. The list keeps each
    text with its best score. A score contains the language model's score times its weight (lw). The division by lw
    makes the differences within a list as large as those of other recognisers.
    """
    decoder.start_utt()
    if samples:  # process_raw raises IndexError for an empty buffer
        decoder.process_raw(samples, full_utt=True)
    decoder.end_utt()
    own_best = decoder.hyp()
    scores: dict[str, float] = {}
    for path in itertools.islice(decoder.nbest(), NUM_PATHS) if own_best else ():
        if path is not None:  # None is a path without words
            score = math.log(path.score) * SCORE_UNIT / decoder.config["lw"]
            scores[path.hypstr] = max(score, scores.get(path.hypstr, -math.inf))
    if not scores:
        return NBest((Hypothesis(own_best.hypstr if own_best else "", 0.0),))
    best = sorted(scores, key=lambda text: -scores[text])[:MAX_HYPOTHESES]
    return NBest(tuple(Hypothesis(text, scores[text]) for text in best))


def main(argv: list[str] | None = None) -> int:
    arguments = argument_parser(__doc__).parse_args(argv)
    decoder = make_decoder()
    return rescore_recordings(arguments, lambda samples: decode_nbest(decoder, samples))


if __name__ == "__main__":
    sys.exit(main())

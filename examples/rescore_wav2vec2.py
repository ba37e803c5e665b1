"""Decodes recordings with Wav2Vec2 and pyctcdecode, and rescores the CTC beams.

    pip install '.[serve]' && pip install --no-deps pyctcdecode pygtrie
    python examples/rescore_wav2vec2.py said.wav --model facebook/wav2vec2-base-960h --target localhost:50051

With `--language-model 4gram.arpa` (needs kenlm) the beams also have the score of an n-gram model.
pyctcdecode requires numpy 1 but works with numpy 2, hence --no-deps.
"""

import sys

import numpy as np
import torch
from pyctcdecode import BeamSearchDecoderCTC, build_ctcdecoder
from transformers import Wav2Vec2ForCTC, Wav2Vec2Processor

from lorb import Hypothesis, NBest
from recordings import SAMPLE_RATE_HZ, argument_parser, rescore_recordings

BEAM_WIDTH = 50
MAX_HYPOTHESES = 20


def beam_search(processor: Wav2Vec2Processor, language_model: str | None = None) -> BeamSearchDecoderCTC:
    """Creates a CTC decoder for the letters of the model; pyctcdecode uses "" for blank and " " between words."""
    tokenizer = processor.tokenizer
    special = {tokenizer.pad_token: "", tokenizer.word_delimiter_token: " "}
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    return build_ctcdecoder([special.get(token, token) for token, _ in vocabulary], language_model)


def decode_nbest(
    model: Wav2Vec2ForCTC, processor: Wav2Vec2Processor, decoder: BeamSearchDecoderCTC, samples: bytes
) -> NBest:
    """Decodes 16-bit samples to an N-best list, best first.

    The scores are natural logs. pyctcdecode's lm_score is the total score, and logit_score is its acoustic part.
    """
    waveform = np.frombuffer(samples, "<i2").astype(np.float32) / 2**15
    values = processor(waveform, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt").input_values
    with torch.inference_mode():
        logits = model(values.to(model.device, model.dtype)).logits[0].float().cpu().numpy()
    beams = decoder.decode_beams(logits, beam_width=BEAM_WIDTH)[:MAX_HYPOTHESES]
    return NBest(tuple(_hypothesis(text, logit, total) for text, _state, _frames, logit, total in beams))


def _hypothesis(text: str, logit_score: float, lm_score: float) -> Hypothesis:
    parts = {"logit": float(logit_score), "lm": float(lm_score - logit_score)}
    return Hypothesis(text.lower(), float(lm_score), parts)


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__)
    parser.add_argument("--model", default="facebook/wav2vec2-base-960h", help="folder or hub id")
    parser.add_argument("--language-model", metavar="ARPA", help="n-gram model, read by kenlm")
    arguments = parser.parse_args(argv)
    model = Wav2Vec2ForCTC.from_pretrained(arguments.model).eval()
    processor = Wav2Vec2Processor.from_pretrained(arguments.model)
    decoder = beam_search(processor, arguments.language_model)
    return rescore_recordings(arguments, lambda samples: decode_nbest(model, processor, decoder, samples))


if __name__ == "__main__":
    sys.exit(main())

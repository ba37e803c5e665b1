"""Audio through Whisper and LoRB: beam search to an N-best list, rescored.

    pip install '.[serve]'
    python examples/rescore_whisper.py said.wav --model openai/whisper-small.en --target localhost:50051

Recordings up to 30 seconds: longer ones Whisper decodes in pieces, each with beams of its own.
"""

import sys

import numpy as np
import torch
from recordings import SAMPLES_PER_SECOND, arguments_parser, rescore_recordings
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from lorb import Hypothesis, NBest

NUM_BEAMS = 8


def nbest_of(model: WhisperForConditionalGeneration, processor: WhisperProcessor, samples: bytes) -> NBest:
    """The beams, best first. Scores are mean log-probabilities of a token, as transformers gives them."""
    waveform = np.frombuffer(samples, "<i2").astype(np.float32) / 2**15
    features = processor(waveform, sampling_rate=SAMPLES_PER_SECOND, return_tensors="pt").input_features
    with torch.inference_mode():
        output = model.generate(
            features.to(model.device, model.dtype),
            num_beams=NUM_BEAMS,
            num_return_sequences=NUM_BEAMS,
            return_dict_in_generate=True,
            output_scores=True,
        )
    texts = processor.batch_decode(output.sequences, skip_special_tokens=True)
    scores = output.sequences_scores.tolist()
    return NBest(tuple(Hypothesis(text.strip(), score) for text, score in zip(texts, scores, strict=True)))


def main(argv: list[str] | None = None) -> int:
    parser = arguments_parser(__doc__)
    parser.add_argument("--model", default="openai/whisper-small.en", help="folder or hub id")
    arguments = parser.parse_args(argv)
    model = WhisperForConditionalGeneration.from_pretrained(arguments.model).eval()
    processor = WhisperProcessor.from_pretrained(arguments.model)
    return rescore_recordings(arguments, lambda samples: nbest_of(model, processor, samples))


if __name__ == "__main__":
    sys.exit(main())

"""Decodes recordings with Whisper's beam search and rescores the N-best lists.

    pip install '.[serve]'
    python examples/rescore_whisper.py said.wav --model openai/whisper-small.en --target localhost:50051

Recordings may have up to 30 seconds. Whisper decodes longer ones in segments, each with its own beams.
"""

import sys

import numpy as np
import torch
from transformers import GenerationMixin, WhisperForConditionalGeneration, WhisperProcessor

from lorb import Hypothesis, NBest
from recordings import SAMPLE_RATE_HZ, argument_parser, rescore_recordings

NUM_BEAMS = 8


def decode_nbest(model: WhisperForConditionalGeneration, processor: WhisperProcessor, samples: bytes) -> NBest:
    """Decodes 16-bit samples to an N-best list, best first. A score is the mean log-probability of the tokens."""
    waveform = np.frombuffer(samples, "<i2").astype(np.float32) / 2**15
    inputs = processor(waveform, sampling_rate=SAMPLE_RATE_HZ, return_attention_mask=True, return_tensors="pt")
    # Whisper's own generate() returns its best beam num_return_sequences times (huggingface/transformers issue 33445).
    # The method that it overrides returns all beams, but needs the prefix tokens.
    with torch.inference_mode():
        output = GenerationMixin.generate(
            model,
            inputs.input_features.to(model.device, model.dtype),
            attention_mask=inputs.attention_mask.to(model.device),
            decoder_input_ids=torch.tensor([processor.tokenizer.prefix_tokens], device=model.device),
            num_beams=NUM_BEAMS,
            num_return_sequences=NUM_BEAMS,
            return_dict_in_generate=True,
            output_scores=True,
        )
    texts = processor.batch_decode(output.sequences, skip_special_tokens=True)
    scores = output.sequences_scores.tolist()
    return NBest(tuple(Hypothesis(text.strip(), score) for text, score in zip(texts, scores, strict=True)))


def main(argv: list[str] | None = None) -> int:
    parser = argument_parser(__doc__)
    parser.add_argument("--model", default="openai/whisper-small.en", help="folder or hub id")
    parser.add_argument("--language", help="spoken language, for multilingual models: english, de, ...")
    arguments = parser.parse_args(argv)
    model = WhisperForConditionalGeneration.from_pretrained(arguments.model).eval()
    processor = WhisperProcessor.from_pretrained(arguments.model)
    if arguments.language:
        processor.tokenizer.set_prefix_tokens(language=arguments.language, task="transcribe")
    return rescore_recordings(arguments, lambda samples: decode_nbest(model, processor, samples))


if __name__ == "__main__":
    sys.exit(main())

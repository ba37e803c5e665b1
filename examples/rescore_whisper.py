"""Audio through Whisper and LoRB: beam search to an N-best list, rescored.

    pip install '.[serve]'
    python examples/rescore_whisper.py said.wav --model openai/whisper-small.en --target localhost:50051

Recordings up to 30 seconds: longer ones Whisper decodes in pieces, each with beams of its own.
"""

import sys

import numpy as np
import torch
from transformers import GenerationMixin, WhisperForConditionalGeneration, WhisperProcessor

from lorb import Hypothesis, NBest
from recordings import SAMPLES_PER_SECOND, arguments_parser, rescore_recordings

NUM_BEAMS = 8


def nbest_of(model: WhisperForConditionalGeneration, processor: WhisperProcessor, samples: bytes) -> NBest:
    """The beams, best first. Scores are mean log-probabilities of a token, as transformers gives them."""
    waveform = np.frombuffer(samples, "<i2").astype(np.float32) / 2**15
    inputs = processor(waveform, sampling_rate=SAMPLES_PER_SECOND, return_attention_mask=True, return_tensors="pt")
    # Whisper's own generate() returns its best beam num_return_sequences times (huggingface/transformers issue 33445);
    # the method that it overrides returns the beams. It has to be told how a transcript begins.
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
    parser = arguments_parser(__doc__)
    parser.add_argument("--model", default="openai/whisper-small.en", help="folder or hub id")
    parser.add_argument("--language", help="what is spoken, for a model of many languages: english, de, ...")
    arguments = parser.parse_args(argv)
    model = WhisperForConditionalGeneration.from_pretrained(arguments.model).eval()
    processor = WhisperProcessor.from_pretrained(arguments.model)
    if arguments.language:
        processor.tokenizer.set_prefix_tokens(language=arguments.language, task="transcribe")
    return rescore_recordings(arguments, lambda samples: nbest_of(model, processor, samples))


if __name__ == "__main__":
    sys.exit(main())

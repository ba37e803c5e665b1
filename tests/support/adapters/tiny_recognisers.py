"""Tiny recognisers with random weights: nonsense transcripts in outputs of the real shapes."""

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    Wav2Vec2Processor,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizerFast,
)

from support.adapters.tiny_bases import sample_transcripts

_END, _START, _ENGLISH_TASKS = "<|endoftext|>", "<|startoftranscript|>", ("<|transcribe|>", "<|notimestamps|>")


def make_whisper(folder: Path, seed: int = 0) -> Path:
    """Writes an English-only Whisper of two layers, its tokenizer and its feature extractor; returns the folder."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=[_END, _START, *_ENGLISH_TASKS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sample_transcripts(), trainer)
    wrapped = WhisperTokenizerFast(
        tokenizer_object=tokenizer, unk_token=_END, bos_token=_END, eos_token=_END, pad_token=_END
    )
    end, start, *tasks = (tokenizer.token_to_id(token) for token in (_END, _START, *_ENGLISH_TASKS))
    config = WhisperConfig(
        vocab_size=tokenizer.get_vocab_size(), d_model=16, encoder_layers=2, decoder_layers=2,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32,
        max_target_positions=24, pad_token_id=end, bos_token_id=end, eos_token_id=end, decoder_start_token_id=start,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        max_length=24, pad_token_id=end, bos_token_id=end, eos_token_id=end, decoder_start_token_id=start,
        no_timestamps_token_id=tasks[-1], is_multilingual=False, return_timestamps=False,
        suppress_tokens=[start, *tasks], begin_suppress_tokens=[end],
    )  # fmt: skip
    model.save_pretrained(folder)
    WhisperProcessor(WhisperFeatureExtractor(), wrapped).save_pretrained(folder)
    return folder


def make_wav2vec2(folder: Path, seed: int = 0) -> Path:
    """Writes a Wav2Vec2 with CTC over capital letters, as English models have; returns the folder."""
    letters = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ"]
    (folder / "vocab.json").write_text(json.dumps({letter: i for i, letter in enumerate(letters)}))
    tokenizer = Wav2Vec2CTCTokenizer(str(folder / "vocab.json"), word_delimiter_token="|")
    config = Wav2Vec2Config(
        vocab_size=len(letters), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        conv_dim=(16, 16, 16), conv_stride=(10, 8, 4), conv_kernel=(20, 16, 8), num_feat_extract_layers=3,
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = Wav2Vec2ForCTC(config)
    with torch.no_grad():
        model.lm_head.bias[1:4] = -100  # trained models do not emit these
    model.save_pretrained(folder)
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=False)
    Wav2Vec2Processor(extractor, tokenizer).save_pretrained(folder)
    return folder

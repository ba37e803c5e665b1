"""Tiny encoders with random weights and real tokenizers, in folders as transformers writes them."""

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    ElectraConfig,
    ElectraForMaskedLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaModel,
)

SAMPLE = Path(__file__).parents[2] / "data" / "librispeech"
MAX_TOKENS = 64
_SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
_VOCABULARY_SIZE = 400


def sample_transcripts(limit: int = 300) -> Iterator[str]:
    """Yields first-pass transcripts of the sample's train lists."""
    with gzip.open(SAMPLE / "train.jsonl.gz", "rt", encoding="utf-8") as lines:
        for _, line in zip(range(limit), lines, strict=False):
            yield json.loads(line)["hyps"][0]["text"]


def make_bert(folder: Path, seed: int = 0) -> Path:
    """Writes a BERT with a word-piece tokenizer; returns the folder."""
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    # Not trained: the trainer breaks ties at random, so every run would have other tokens.
    alphabet = list("abcdefghijklmnopqrstuvwxyz'[]!,.-0123456789")
    words = Counter(word for text in sample_transcripts() for word in text.split())
    common = sorted(words, key=lambda word: (-words[word], word))
    pieces = dict.fromkeys([*specials, *alphabet, *(f"##{letter}" for letter in alphabet), *common])
    vocabulary = {piece: i for i, piece in enumerate([*pieces][:_VOCABULARY_SIZE])}
    tokenizer.model = models.WordPiece(vocabulary, unk_token="[UNK]")
    tokenizer.post_processor = processors.BertProcessing(
        ("[SEP]", tokenizer.token_to_id("[SEP]")), ("[CLS]", tokenizer.token_to_id("[CLS]"))
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]",
    )  # fmt: skip
    wrapped.save_pretrained(folder)
    torch.manual_seed(seed)
    config = BertConfig(vocab_size=_VOCABULARY_SIZE, max_position_embeddings=MAX_TOKENS, **_SIZES)
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def make_masked_lm(folder: Path, family: str, *, is_tied: bool = True) -> Path:
    """Writes a "bert", "roberta" or "electra" with its masked-LM head; biases are not 0. Returns the folder."""
    (make_roberta if family == "roberta" else make_bert)(folder)
    sizes = {**_SIZES, "vocab_size": _VOCABULARY_SIZE, "tie_word_embeddings": is_tied}
    torch.manual_seed(1)
    model: torch.nn.Module
    if family == "roberta":
        positions = {"max_position_embeddings": MAX_TOKENS + 2, "type_vocab_size": 1}
        model = RobertaForMaskedLM(RobertaConfig(pad_token_id=1, bos_token_id=0, eos_token_id=2, **positions, **sizes))
    elif family == "electra":
        model = ElectraForMaskedLM(ElectraConfig(max_position_embeddings=MAX_TOKENS, embedding_size=16, **sizes))
    else:
        model = BertForMaskedLM(BertConfig(max_position_embeddings=MAX_TOKENS, **sizes))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.3)
    model.save_pretrained(folder)
    return folder


def make_roberta(folder: Path, seed: int = 0) -> Path:
    """Writes a RoBERTa with a byte-level tokenizer: two separators in a pair, positions from padding_idx + 1."""
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        sample_transcripts(),
        trainers.BpeTrainer(
            vocab_size=_VOCABULARY_SIZE,
            special_tokens=specials,
            initial_alphabet=alphabet,
            show_progress=False,
        ),
    )
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", tokenizer.token_to_id("</s>")), ("<s>", tokenizer.token_to_id("<s>")), add_prefix_space=True
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", cls_token="<s>", sep_token="</s>",
        mask_token="<mask>", bos_token="<s>", eos_token="</s>",
    )  # fmt: skip
    wrapped.save_pretrained(folder)
    torch.manual_seed(seed)
    config = RobertaConfig(
        vocab_size=_VOCABULARY_SIZE, max_position_embeddings=MAX_TOKENS + 2, type_vocab_size=1, pad_token_id=1,
        bos_token_id=0, eos_token_id=2, **_SIZES,
    )  # fmt: skip
    RobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder

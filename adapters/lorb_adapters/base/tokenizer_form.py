"""The canonical form of a tokenizer's JSON, which does not depend on the release of `tokenizers` that wrote it."""

import json
from collections.abc import Mapping
from typing import Any

_Json = Any  # a result of json.loads

# The form is the one that tokenizers 0.20 to 0.23 write. A release may leave out a setting that has its default value,
# or write a new setting whose default is empty: neither changes what the tokenizer does. These are the defaults.
_BYTE_LEVEL = {"add_prefix_space": True, "trim_offsets": True, "use_regex": True}
_METASPACE = {"replacement": "\u2581", "prepend_scheme": "always", "split": True}
_NORMALIZERS: dict[str, dict[str, _Json]] = {
    "BertNormalizer": {"clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
    "Strip": {"strip_left": True, "strip_right": True},
    "Sequence": {"normalizers": []},
    **{name: {} for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "ByteLevel")},
}
_PRE_TOKENIZERS: dict[str, dict[str, _Json]] = {
    "ByteLevel": _BYTE_LEVEL,
    "Metaspace": _METASPACE,
    "Digits": {"individual_digits": False},
    "Punctuation": {"behavior": "Isolated"},
    "Sequence": {"pretokenizers": []},
    **{name: {} for name in ("BertPreTokenizer", "Whitespace", "WhitespaceSplit", "UnicodeScripts")},
}
_POST_PROCESSORS: dict[str, dict[str, _Json]] = {
    "BertProcessing": {"sep": ["[SEP]", 102], "cls": ["[CLS]", 101]},
    "RobertaProcessing": {"sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True, "add_prefix_space": True},
    "ByteLevel": _BYTE_LEVEL,
    "TemplateProcessing": {"single": [], "pair": [], "special_tokens": {}},
    "Sequence": {"processors": []},
}
_DECODERS: dict[str, dict[str, _Json]] = {
    "ByteLevel": _BYTE_LEVEL,
    "Metaspace": _METASPACE,
    "WordPiece": {"prefix": "##", "cleanup": True},
    "BPEDecoder": {"suffix": "</w>"},
    "CTC": {"pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": True},
    "Sequence": {"decoders": []},
    **{name: {} for name in ("Fuse", "ByteFallback")},
}
_MODELS: dict[str, dict[str, _Json]] = {
    "WordPiece": {
        "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": {},
    },
    "BPE": {
        "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
        "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": {}, "merges": [],
    },
    "Unigram": {"unk_id": None, "vocab": [], "byte_fallback": False},
    "WordLevel": {"vocab": {}, "unk_token": "<unk>"},
}  # fmt: skip
_PARTS = {
    "normalizer": _NORMALIZERS,
    "pre_tokenizer": _PRE_TOKENIZERS,
    "post_processor": _POST_PROCESSORS,
    "decoder": _DECODERS,
    "model": _MODELS,
}
_TOP_LEVEL: dict[str, _Json] = {"added_tokens": [], **dict.fromkeys(_PARTS)}
_OVERRIDDEN = ("version", "truncation", "padding")  # the file format's number, and settings that LoRB sets itself
_ADDED_TOKEN = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)


def canonical_tokenizer(tokenizer: str) -> bytes:
    """Returns the tokenizer's JSON in its canonical form: the same for every release that writes `tokenizer`."""
    content = json.loads(tokenizer)
    form = _with_defaults({key: content[key] for key in content if key not in _OVERRIDDEN}, _TOP_LEVEL)
    form |= {part: _canonical(form[part], defaults) for part, defaults in _PARTS.items()}
    form["added_tokens"] = [
        {"id": token["id"], "content": token["content"], **_with_defaults(token, _ADDED_TOKEN)}
        for token in sorted(form["added_tokens"], key=lambda token: token["id"])
    ]
    return json.dumps(form | {"version": "1.0"}, sort_keys=True).encode()


def _canonical(part: _Json, defaults: Mapping[str, Mapping[str, _Json]]) -> _Json:
    """Returns a component of a tokenizer, and the components of a sequence, in canonical form."""
    if not isinstance(part, dict) or part.get("type") not in defaults:
        return part
    settings = _with_defaults(part, {"type": None, **defaults[part["type"]]})
    if part["type"] == "Sequence":
        [name] = defaults["Sequence"]
        settings[name] = [_canonical(each, defaults) for each in settings[name]]
    if "merges" in settings:  # until 0.19 each pair was a string with a space
        settings["merges"] = [each.split(" ") if isinstance(each, str) else each for each in settings["merges"]]
    if part["type"] == "Unigram":
        settings["vocab"] = [[token, float(score)] for token, score in settings["vocab"]]
    return settings


def _with_defaults(settings: Mapping[str, _Json], defaults: Mapping[str, _Json]) -> dict[str, _Json]:
    """Returns the settings with the missing ones added, without unknown ones that are empty."""
    return {**defaults, **{key: value for key, value in settings.items() if key in defaults or value}}

"""The canonical form of a tokenizer: independent of how a release writes it, and dependent on everything it does."""

import json

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from lorb_adapters.base.tokenizer_form import canonical_tokenizer


def bert():
    tokenizer = Tokenizer(models.WordPiece({"[PAD]": 0, "[UNK]": 1, "a": 2}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[UNK]", 1), ("[PAD]", 0))
    tokenizer.add_special_tokens(["[PAD]", "[UNK]"])
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def roberta():
    tokenizer = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2, "Ġ": 3}, [("a", "b")]))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
    return tokenizer


def camembert():
    tokenizer = Tokenizer(models.Unigram([("<unk>", 0.0), ("▁a", -1.5), ("b", -2.0)], unk_id=0))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Strip()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    return tokenizer


@pytest.fixture(params=[bert, roberta, camembert])
def content(request):
    """The parsed JSON of a tokenizer of each kind of model, as this release writes it."""
    return json.loads(request.param().to_str())


def reversed_keys(value):
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(each) for each in value] if isinstance(value, list) else value


def test_the_form_is_what_fingerprints_were_computed_from(content):
    """For this release's JSON the form is the JSON with sorted keys, as in all fingerprints written until now."""
    old_form = json.dumps(
        {key: content[key] for key in content if key not in ("truncation", "padding")}, sort_keys=True
    )
    assert canonical_tokenizer(json.dumps(content)) == old_form.encode()


def test_another_way_to_write_a_tokenizer_does_not_change_its_form(content):
    """Order, white space, the file format's number, default settings left out or added: the form stays the same."""
    form = canonical_tokenizer(json.dumps(content))
    assert canonical_tokenizer(json.dumps(reversed_keys(content), indent=3)) == form
    changed = content | {"version": "2.0", "padding": {"pad_id": 7}, "new": None, "also_new": []}
    changed["model"] = content["model"] | {"new_setting": False, "new_suffix": ""}
    model = changed["model"]
    for key in ("dropout", "byte_fallback", "ignore_merges", "max_input_chars_per_word"):
        model.pop(key, None)
    if "merges" in model:
        model["merges"] = [" ".join(pair) for pair in model["merges"]]  # as tokenizers 0.19 wrote them
    if isinstance(model["vocab"], list):
        model["vocab"] = [[token, int(score) if score == int(score) else score] for token, score in model["vocab"]]
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        if content[part] is None:
            del changed[part]
        else:
            changed[part] = content[part] | {"new_setting": None}
            for key in ("strip_accents", "use_regex", "cleanup"):
                changed[part].pop(key, None)
    changed["added_tokens"] = [
        {key: value for key, value in token.items() if value is not False}
        for token in reversed(content["added_tokens"])
    ]
    assert canonical_tokenizer(json.dumps(changed)) == form


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("model", {"vocab": {"[PAD]": 0, "[UNK]": 2, "a": 1}}),
        ("model", {"max_input_chars_per_word": 10}),
        ("model", {"new_setting": True}),
        ("normalizer", {"lowercase": False}),
        ("normalizer", {"strip_accents": True}),
        ("pre_tokenizer", {"type": "Whitespace"}),
        ("post_processor", {"sep": ["a", 2]}),
    ],
)
def test_another_function_changes_the_form(part, change):
    """Another vocabulary, another setting, and a setting that this release does not know: the form differs."""
    content = json.loads(bert().to_str())
    changed = content | {part: content[part] | change}
    assert canonical_tokenizer(json.dumps(changed)) != canonical_tokenizer(json.dumps(content))

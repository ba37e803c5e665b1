"""Fingerprints of bases: those written until now keep matching, whatever the release of `tokenizers` writes."""

import copy
import json
from pathlib import Path

import torch

from lorb_adapters.base.fingerprint import base_fingerprint
from lorb_adapters.base.loader import load_base
from lorb_adapters.store.store import Store
from lorb_adapters.store.verified_loading import load_adapter

SHIPPED_STORE = Path(__file__).parents[3] / "adapters" / "store"


def test_the_shipped_adapter_fits_its_base(tiny_bert):
    """The adapter that is shipped with LoRB loads on the bundled base, also from a rewritten tokenizer."""
    base, store = load_base("rescore-minilm"), Store(str(SHIPPED_STORE))
    [version] = store.versions("librispeech")
    assert load_adapter(store, "librispeech", version, base).manifest.base_fingerprint == base.fingerprint

    content = json.loads(base.text_encoder.to_json()["tokenizer"])
    content["model"] |= {"new_setting": None}
    del content["model"]["max_input_chars_per_word"], content["decoder"]["cleanup"]
    rewritten = json.dumps(dict(reversed(content.items())) | {"version": "1.1"})
    assert base_fingerprint(base.encoder, base.encoder.config, rewritten) == base.fingerprint


def test_a_base_in_bfloat16_has_the_fingerprint_of_its_file(tiny_bert):
    """A bfloat16 encoder is hashed by the fp32 values that a file with its weights is loaded with."""
    base = load_base(str(tiny_bert))
    half = copy.deepcopy(base.encoder).to(torch.bfloat16)
    rounded = copy.deepcopy(half).float()
    tokenizer = base.text_encoder.to_json()["tokenizer"]
    expected = base_fingerprint(rounded, base.encoder.config, tokenizer)
    assert base_fingerprint(half, base.encoder.config, tokenizer) == expected != base.fingerprint

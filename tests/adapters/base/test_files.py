"""Reading a base's files: none of them can run code, and a broken one is refused in one line."""

import ast
import io
import json
import os
import pickle
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import lorb_adapters
from lorb.errors import BaseNotFound
from lorb_adapters.base.loader import load_base

QUERY = "encoder.layer.0.attention.self.query.weight"
HUGE = 10**400


@pytest.fixture
def folder(tiny_bert, tmp_path):
    """A copy of the tiny BERT."""
    return shutil.copytree(tiny_bert, tmp_path / "base")


def change_json(path, change):
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


def change_weights(folder, change):
    save_file(change(load_file(folder / "model.safetensors")), folder / "model.safetensors", metadata={"format": "pt"})


def refusal(folder):
    """The one line with which the base is refused."""
    with pytest.raises(BaseNotFound) as error:
        load_base(str(folder))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_base_does_not_run_its_code(folder, tmp_path, monkeypatch):
    """A folder whose `auto_map` names its own module is refused; standard input is not read and nothing runs."""
    change_json(folder / "config.json", {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Mine"}})
    (folder / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    answers = io.StringIO("y\ny\ny\n")
    monkeypatch.setattr(sys, "stdin", answers)
    assert "needs code of its own (auto_map in its configuration), which LoRB never runs" in refusal(folder)
    assert answers.tell() == 0
    assert not (tmp_path / "ran").exists()


def test_no_call_of_transformers_may_run_code():
    """Every `from_pretrained` of the shipped packages refuses code, and models are read as safetensors only."""
    calls = [
        (file.name, ast.unparse(node.func), {each.arg: ast.unparse(each.value) for each in node.keywords})
        for file in Path(lorb_adapters.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".from_pretrained")
    ]
    assert len(calls) >= 4
    for file, function, options in calls:
        assert options.get("trust_remote_code") == "False", (file, function)
        assert options.get("use_safetensors") == ("True" if "Model" in function else None), (file, function)


def test_code_beside_a_known_encoder_is_not_run_either(folder, tmp_path, caplog):
    """A BERT with an `auto_map` is loaded as transformers' BERT, and a warning says so."""
    classes = {"AutoConfig": "mine.Mine", "AutoModel": "mine.Mine", "AutoTokenizer": ["mine.Mine", "mine.Mine"]}
    change_json(folder / "config.json", {"auto_map": classes})
    change_json(folder / "tokenizer_config.json", {"auto_map": classes})
    (folder / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    assert type(load_base(str(folder)).encoder).__name__ == "BertModel"
    assert "code of its own (auto_map), which is never run" in caplog.text
    assert not (tmp_path / "ran").exists()


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("is_hostile", [True, False])
def test_weights_in_a_pickle_are_not_read(folder, tmp_path, is_hostile):
    """A base with weights in a pickle only is refused in a line that says what to do, and the pickle is not loaded."""
    if is_hostile:
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Payload(str(tmp_path / "ran"))))
    else:
        torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert "has no model.safetensors (weights in a pickle, such as pytorch_model.bin, could run code" in refusal(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("setting", "value", "problem"),
    [
        ("num_hidden_layers", HUGE, "num_hidden_layers is 1000"),
        ("hidden_size", HUGE, "hidden_size is 1000"),
        ("max_position_embeddings", HUGE, "max_position_embeddings is 1000"),
        ("layer_norm_eps", HUGE, "layer_norm_eps"),
        ("layer_norm_eps", float("inf"), "layer_norm_eps is inf"),
        ("layer_norm_eps", "x", "layer_norm_eps"),
        ("hidden_size", 16, "the sizes in config.json are not the sizes of the weights"),
        ("num_attention_heads", 0, "cannot be loaded"),
        ("hidden_act", "nonesuch", "nonesuch"),
        ("num_hidden_layers", 3, "its files lack 16 weights, such as encoder.layer.2."),
    ],
    ids=lambda value: str(value)[:20],
)
def test_settings_that_no_encoder_has_are_refused(folder, setting, value, problem):
    """Numbers beyond all bounds, of the wrong type or that do not fit the weights are errors, found at once."""
    change_json(folder / "config.json", {setting: value})
    assert problem in refusal(folder)


def test_weights_that_are_missing_or_not_finite_are_refused(folder):
    """Transformers gives a missing weight random values, and NaN makes every score NaN: both are errors."""
    change_weights(folder, lambda weights: weights | {QUERY: weights[QUERY] * torch.nan})
    assert f"{QUERY} holds values that are not finite" in refusal(folder)
    change_weights(folder, lambda weights: {name: weights[name] for name in weights if name != QUERY})
    assert f"its files lack 1 weights, such as {QUERY}" in refusal(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"[" * 100_000, b"\xff"])
def test_a_torn_file_is_refused(folder, name, content):
    """A file of a base with arbitrary content is an error in one line."""
    (folder / name).write_bytes(content)
    assert "cannot be loaded" in refusal(folder)


def test_a_tokenizer_of_another_encoder_is_refused(folder):
    """A tokenizer with more tokens than the encoder has embeddings is an error: some texts could not be scored."""
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["vocab"] |= {f"word{i}": 400 + i for i in range(7)}
    (folder / "tokenizer.json").write_text(json.dumps(content))
    assert "the tokenizer has 407 tokens, and the encoder knows 400" in refusal(folder)


def test_an_encoder_without_room_for_a_text_is_refused(folder):
    """An encoder of three positions has none left for a text and its context."""
    change_json(folder / "config.json", {"max_position_embeddings": 3})
    name = "embeddings.position_embeddings.weight"
    change_weights(folder, lambda weights: weights | {name: weights[name][:3].clone()})
    assert "the encoder has 3 positions, and special tokens take 3 of them" in refusal(folder)


def test_special_tokens_that_cannot_be_told_apart_are_refused(folder):
    """A tokenizer without a place for the second text is an error that names the base."""
    only_first = {"Sequence": {"id": "A", "type_id": 0}}
    template = {"type": "TemplateProcessing", "single": [only_first], "pair": [only_first], "special_tokens": {}}
    change_json(folder / "tokenizer.json", {"post_processor": template})
    assert f"base {str(folder)!r} cannot be loaded: the tokenizer's special tokens" in refusal(folder)

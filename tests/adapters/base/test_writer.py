"""Writing a base folder: completely or not at all, and only where it can be created."""

import json

import pytest
import torch

from lorb.errors import InvalidInput
from lorb_adapters.base.loader import load_base
from lorb_adapters.base.writer import check_can_be_created, check_is_unused, new_folder, write_base
from lorb_adapters.lora.head import HeadWeights


@pytest.mark.parametrize("family", ["tiny_bert", "tiny_roberta"])
def test_a_written_base_loads_as_it_was(family, request, tmp_path):
    """Weights, tokenizer, head and further files are read back; the fingerprint is the same."""
    base = load_base(str(request.getfixturevalue(family)))
    head = HeadWeights("mean", torch.arange(32.0), torch.tensor(0.5))
    write_base(tmp_path / "base", base, head, {"report.md": "# Report\n"})
    loaded = load_base(str(tmp_path / "base"))
    assert loaded.fingerprint == base.fingerprint
    assert loaded.text_encoder.to_json() == base.text_encoder.to_json()
    assert (loaded.head.kind, loaded.head.weight.tolist(), float(loaded.head.bias)) == ("mean", list(range(32)), 0.5)
    assert json.loads((tmp_path / "base" / "lorb_head.json").read_text()) == {"kind": "mean"}
    assert (tmp_path / "base" / "report.md").read_text() == "# Report\n"


@pytest.mark.parametrize(
    ("problem", "raised"),
    [(OSError(28, "No space left on device"), InvalidInput), (KeyboardInterrupt(), KeyboardInterrupt)],
)
def test_an_error_while_writing_leaves_nothing(tmp_path, problem, raised):
    """A system error becomes InvalidInput, other errors pass through, and no partial folder stays."""

    def write():
        with new_folder(tmp_path / "base") as partial:
            (partial / "file").write_text("x")
            raise problem

    with pytest.raises(raised):
        write()
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_unused(tmp_path):
    """A missing or empty folder may be written to; a file, and a folder with content, may not."""
    check_is_unused(tmp_path / "missing")
    check_is_unused(tmp_path)
    (tmp_path / "file").write_text("x")
    for place in (tmp_path, tmp_path / "file"):
        with pytest.raises(InvalidInput, match="exists and is not empty: name a new folder"):
            check_is_unused(place)


def test_a_folder_below_a_file_cannot_be_created(tmp_path):
    """The error names the flag, the folder and the file in its way."""
    check_can_be_created(tmp_path / "a" / "b", "run-dir")
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidInput, match=r"run-dir .*/file/b cannot be created: .*/file is not a writable folder"):
        check_can_be_created(tmp_path / "file" / "b", "run-dir")

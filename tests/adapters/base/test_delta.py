"""A base kept as a difference: rounded within bounds, the same wherever it is added, refused where it does not fit."""

import json
import re
import resource
import shutil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from lorb.errors import BaseNotFound, InvalidInput
from lorb_adapters.base import loader as base
from lorb_adapters.base.delta import dequantized, quantized
from lorb_adapters.base.fingerprint import base_fingerprint
from lorb_adapters.base.loader import load_base
from lorb_adapters.base.new_folder import new_folder
from lorb_adapters.cli import base_delta as base_delta_cli
from support.adapters.tiny_bases import make_bert

SEEDS = st.integers(0, 2**31)


@given(SEEDS, st.sampled_from([1e-6, 1e-3, 1.0, 1e4]), st.integers(1, 5))
def test_rounding_is_off_by_half_a_step_and_done_once(seed, size, num_groups):
    """Rounded values are off by half a step of their group's largest at most, and rounding them again changes none.

    A step is a seventh of the largest, its scale rounded to bfloat16's eight bits; narrower steps, which clip, are
    taken where they are off by less in all.
    """
    values = torch.randn(64 * num_groups, generator=torch.Generator().manual_seed(seed)) * size
    rounded = dequantized(*quantized(values))
    largest = values.view(-1, 64).abs().amax(1)
    half_steps = largest / 7 / 2 * (1 + 2**-8)
    errors = (rounded - values).view(-1, 64).norm(dim=1)
    assert (errors <= 64**0.5 * half_steps + largest * 2**-8).all()
    again = dequantized(*quantized(rounded))
    assert (again - rounded).norm() <= 0.01 * values.norm()


def test_rounding_keeps_most_of_bell_shaped_differences():
    """Over many groups the rounded values are within a tenth of the norm, or a little more.

    A bell of 64 values clipped at its largest has steps of about 0.35 standard deviations, hence an error of 0.1.
    """
    values = torch.randn(64 * 1000, generator=torch.Generator().manual_seed(0))
    assert (dequantized(*quantized(values)) - values).norm() <= 0.15 * values.norm()


def test_equal_values_and_lone_ones_are_kept_whole():
    """Zeros stay zeros; where one value of a group differs, it alone does, to the scale's eight bits."""
    assert not dequantized(*quantized(torch.zeros(128))).any()
    lone = torch.zeros(64)
    lone[13] = 0.37
    rounded = dequantized(*quantized(lone))
    assert rounded[13].item() == pytest.approx(0.37, rel=2**-8)
    assert rounded.count_nonzero() == 1


@pytest.fixture
def parent(tiny_bert, tmp_path, monkeypatch):
    """A base by a name relative to the working folder, as a user has it."""
    shutil.copytree(tiny_bert, tmp_path / "parent")
    monkeypatch.chdir(tmp_path)
    return "parent"


@pytest.fixture
def changed(parent, tmp_path):
    """The same with other layers and a head."""
    folder = shutil.copytree(tmp_path / parent, tmp_path / "changed")
    weights = load_file(folder / "model.safetensors")
    generator = torch.Generator().manual_seed(3)
    for name, tensor in weights.items():
        if name.startswith("encoder."):
            weights[name] = tensor + 0.01 * torch.randn(tensor.shape, generator=generator)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "lorb_head.json").write_text(json.dumps({"kind": "sum"}))
    save_file({"weight": torch.ones(32), "bias": torch.zeros(())}, folder / "lorb_head.safetensors")
    return "changed"


@pytest.fixture
def delta(parent, changed, tmp_path):
    """What lorb-base-delta makes of it."""
    assert base_delta_cli.main([changed, "--of", parent, "--output-base", "delta"]) == 0
    return tmp_path / "delta"


def test_a_delta_is_a_base_like_any_other(delta, changed):
    """Loaded, it has the head and, but for the rounding, the weights of the whole base."""
    bases = [load_base(name) for name in ("delta", changed, "parent")]
    assert bases[0].head is not None
    assert len({base.fingerprint for base in bases}) == 3
    ours, whole, before = (
        torch.cat([tensor.flatten() for tensor in base.encoder.state_dict().values()]) for base in bases
    )
    assert 0 < (ours - whole).norm() < 0.15 * (before - whole).norm()


def test_the_same_delta_gives_the_same_base(delta):
    """Two loads have one fingerprint, the one in its file."""
    first, second = load_base("delta"), load_base("delta")
    assert first.fingerprint == second.fingerprint == json.loads((delta / "lorb_delta.json").read_text())["fingerprint"]


def test_a_load_hashes_the_weights_once(delta, monkeypatch):
    """The sum's fingerprint is checked, which leaves the parent's no choice."""
    hashed = []
    monkeypatch.setattr(base, "base_fingerprint", lambda *of: hashed.append(of) or base_fingerprint(*of))
    load_base("delta")
    assert len(hashed) == 1


def test_another_parent_of_the_same_shapes_is_refused(delta, tmp_path):
    """The sum is another, and the reason is found: not the delta's files, but its parent."""
    shutil.rmtree(tmp_path / "parent")
    make_bert(tmp_path / "parent", seed=5)
    with pytest.raises(
        BaseNotFound, match=r"base 'delta' is a change to '/.*/parent' [0-9a-f]{12}, and '/.*/parent' here is"
    ):
        load_base("delta")


def test_a_parent_in_a_folder_is_found_from_elsewhere(delta, tmp_path, monkeypatch):
    """Its relative name was true where the delta was made: the delta loads in another working folder too."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_base(str(delta)).fingerprint == json.loads((delta / "lorb_delta.json").read_text())["fingerprint"]


def test_what_is_said_of_the_rounding_is_an_error(parent, changed, capsys):
    """A tenth of the difference's norm is what it is off by, not what is kept."""
    assert base_delta_cli.main([changed, "--of", parent, "--output-base", "delta"]) == 0
    [share] = re.findall(
        r"rounding is off by ([\d.]+)% of the norm of the difference from parent", capsys.readouterr().out
    )
    assert 5 < float(share) < 15


def test_another_parent_is_refused(delta, tmp_path, tiny_roberta):
    """Where the parent's name leads to other weights, nothing is added to them."""
    shutil.rmtree(tmp_path / "parent")
    shutil.copytree(tiny_roberta, tmp_path / "parent")
    with pytest.raises(
        BaseNotFound, match=r"base 'delta' is a change to '/.*/parent' [0-9a-f]{12}, and '/.*/parent' here is"
    ):
        load_base("delta")


def test_changed_values_are_refused(delta):
    """One level other than written, and the sum is not the base that was promised."""
    tensors = load_file(delta / "lorb_delta.safetensors")
    name = next(name for name in tensors if name.endswith(".levels"))
    tensors[name][0] ^= 1
    save_file(tensors, delta / "lorb_delta.safetensors")
    with pytest.raises(BaseNotFound, match="its files were changed"):
        load_base("delta")


@pytest.mark.parametrize("name", ["no.such.weight.difference", "encoder.layer.0.output.dense.bias.difference"])
def test_values_for_no_weight_of_the_parent_are_refused(delta, name):
    """A difference of a foreign name or size is named in the error."""
    tensors = load_file(delta / "lorb_delta.safetensors")
    save_file(tensors | {name: torch.ones(5)}, delta / "lorb_delta.safetensors")
    with pytest.raises(BaseNotFound, match=f"5 values for {name.removesuffix('.difference')}"):
        load_base("delta")


def test_torn_files_are_refused(delta):
    """A file that ends early, in JSON or in tensors, is named."""
    for name in ("lorb_delta.safetensors", "lorb_delta.json"):
        content = (delta / name).read_bytes()
        (delta / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(BaseNotFound, match=name.replace(".", r"\.")):
            load_base("delta")


def test_bases_that_differ_in_more_than_weights_have_no_delta(parent, changed, tiny_roberta, capsys, tmp_path):
    """Another tokenizer or architecture is the user's mistake: one line, exit status 2, no folder."""
    for other in (str(tiny_roberta),):
        assert base_delta_cli.main([changed, "--of", other, "--output-base", "delta"]) == 2
    assert "another tokenizer or configuration" in capsys.readouterr().err
    assert not (tmp_path / "delta").exists()


def test_a_folder_with_something_in_it_is_left_alone(parent, changed, capsys, tmp_path):
    """The output must be new."""
    assert base_delta_cli.main([changed, "--of", parent, "--output-base", parent]) == 2
    assert "not empty" in capsys.readouterr().err
    assert load_base(parent).head is None


def test_an_output_that_cannot_be_is_refused_before_the_bases_are_read(tmp_path, capsys):
    """A file where a folder above it should be: one line and exit status 2, though there are no such bases either."""
    (tmp_path / "file").write_text("")
    output = tmp_path / "file" / "delta"
    assert base_delta_cli.main(["no-such-base", "--of", "no-such-parent", "--output-base", str(output)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"output-base {output} cannot be made: {tmp_path / 'file'} is no folder" in error


def test_a_disk_that_fills_up_leaves_nothing(parent, changed, capsys, tmp_path):
    """Tensors that grow over the allowed size: one line, exit status 2, and no half a folder."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        status = base_delta_cli.main([changed, "--of", parent, "--output-base", "delta"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert status == 2
    assert "output-base delta cannot be written: " in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["changed", "parent"]


@pytest.mark.parametrize(
    ("problem", "told"),
    [(OSError(28, "No space left on device"), InvalidInput), (KeyboardInterrupt(), KeyboardInterrupt)],
)
def test_what_goes_wrong_while_writing_leaves_nothing(tmp_path, problem, told):
    """An error of the system is told as one of the output's; any other, an interrupt too, as it is."""

    def write():
        with new_folder(tmp_path / "base") as partial:
            (partial / "file").write_text("x")
            raise problem

    with pytest.raises(told):
        write()
    assert list(tmp_path.iterdir()) == []


def test_whoever_may_read_one_of_its_files_may_read_all(delta):
    """A server that runs as another user than the one who made it can load what the umask lets it see."""
    assert len({file.stat().st_mode & 0o777 for file in delta.iterdir()}) == 1

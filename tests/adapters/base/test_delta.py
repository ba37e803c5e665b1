"""A base stored as a difference: bounded rounding, a reproducible sum, and errors for files that do not fit."""

import json
import re
import resource
import shutil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from lorb.errors import BaseNotFound
from lorb_adapters.base import loader
from lorb_adapters.base.delta import dequantize, quantize
from lorb_adapters.base.fingerprint import base_fingerprint
from lorb_adapters.base.loader import load_base
from lorb_adapters.cli import base_delta as base_delta_cli
from support.adapters.tiny_bases import make_bert

SEEDS = st.integers(0, 2**31)
OTHER_PARENT = (
    r"base 'delta' is a difference from '/.*/parent' with fingerprint [0-9a-f]{12}, "
    r"but '/.*/parent' has [0-9a-f]{12}: restore"
)


@given(SEEDS, st.sampled_from([1e-6, 1e-3, 1.0, 1e4]), st.integers(1, 5))
def test_quantisation_errs_by_half_a_step_at_most(seed, size, num_groups):
    """Quantised values are within half a step, and quantising them again changes next to nothing.

    A step is a seventh of the group's largest value, with a scale of bfloat16's eight bits. Smaller steps, which clip,
    are used where they lower the total error.
    """
    values = torch.randn(64 * num_groups, generator=torch.Generator().manual_seed(seed)) * size
    rounded = dequantize(*quantize(values))
    largest = values.view(-1, 64).abs().amax(1)
    half_steps = largest / 7 / 2 * (1 + 2**-8)
    errors = (rounded - values).view(-1, 64).norm(dim=1)
    assert (errors <= 64**0.5 * half_steps + largest * 2**-8).all()
    again = dequantize(*quantize(rounded))
    assert (again - rounded).norm() <= 0.01 * values.norm()


def test_quantisation_keeps_most_of_normal_differences():
    """Over many groups of normally distributed values the error is below 0.15 of the norm.

    64 such values, scaled to their largest, have steps of about 0.35 standard deviations: an error of 0.1.
    """
    values = torch.randn(64 * 1000, generator=torch.Generator().manual_seed(0))
    assert (dequantize(*quantize(values)) - values).norm() <= 0.15 * values.norm()


def test_zeros_and_single_values_are_kept():
    """Zeros stay zeros; a group's only non-zero value is kept to the scale's eight bits."""
    assert not dequantize(*quantize(torch.zeros(128))).any()
    lone = torch.zeros(64)
    lone[13] = 0.37
    rounded = dequantize(*quantize(lone))
    assert rounded[13].item() == pytest.approx(0.37, rel=2**-8)
    assert rounded.count_nonzero() == 1


def test_a_delta_loads_as_a_base(delta, changed):
    """A loaded delta has a head and, up to rounding, the weights of the whole base."""
    bases = [load_base(name) for name in ("delta", changed, "parent")]
    assert bases[0].head is not None
    assert len({base.fingerprint for base in bases}) == 3
    ours, whole, before = (
        torch.cat([tensor.flatten() for tensor in base.encoder.state_dict().values()]) for base in bases
    )
    assert 0 < (ours - whole).norm() < 0.15 * (before - whole).norm()


def test_the_same_delta_gives_the_same_base(delta):
    """Two loads have the same fingerprint, the one in the delta's file."""
    first, second = load_base("delta"), load_base("delta")
    assert first.fingerprint == second.fingerprint == json.loads((delta / "lorb_delta.json").read_text())["fingerprint"]


def test_a_load_hashes_the_weights_once(delta, monkeypatch):
    """Only the sum's fingerprint is computed: it covers the parent's weights."""
    hashed = []
    monkeypatch.setattr(loader, "base_fingerprint", lambda *of: hashed.append(of) or base_fingerprint(*of))
    load_base("delta")
    assert len(hashed) == 1


def test_another_parent_of_the_same_shapes_is_refused(delta, tmp_path):
    """The error names the parent and both fingerprints, and does not say that the delta's files changed."""
    shutil.rmtree(tmp_path / "parent")
    make_bert(tmp_path / "parent", seed=5)
    with pytest.raises(BaseNotFound, match=OTHER_PARENT):
        load_base("delta")


def test_a_parent_in_a_folder_is_found_from_elsewhere(delta, tmp_path, monkeypatch):
    """A delta made with a relative parent name loads in another working folder too."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_base(str(delta)).fingerprint == json.loads((delta / "lorb_delta.json").read_text())["fingerprint"]


def test_the_rounding_error_is_printed(parent, changed, capsys):
    """The printed percentage is the error: about a tenth of the difference's norm."""
    assert base_delta_cli.main([changed, "--of", parent, "--output-base", "delta"]) == 0
    [share] = re.findall(
        r"rounding error: ([\d.]+)% of the norm of the difference from parent", capsys.readouterr().out
    )
    assert 5 < float(share) < 15


def test_another_parent_is_refused(delta, tmp_path, tiny_roberta):
    """A parent of another architecture gives the same error, and nothing is added to its weights."""
    shutil.rmtree(tmp_path / "parent")
    shutil.copytree(tiny_roberta, tmp_path / "parent")
    with pytest.raises(BaseNotFound, match=OTHER_PARENT):
        load_base("delta")


def test_changed_values_are_refused(delta):
    """One changed level makes the fingerprint differ, which is an error."""
    tensors = load_file(delta / "lorb_delta.safetensors")
    name = next(name for name in tensors if name.endswith(".levels"))
    tensors[name][0] ^= 1
    save_file(tensors, delta / "lorb_delta.safetensors")
    with pytest.raises(
        BaseNotFound, match="base 'delta' has fingerprint [0-9a-f]{12}, not [0-9a-f]{12}: its files were changed"
    ):
        load_base("delta")


@pytest.mark.parametrize("name", ["no.such.weight.difference", "encoder.layer.0.output.dense.bias.difference"])
def test_values_for_no_weight_of_the_parent_are_refused(delta, name):
    """The error names a difference whose name or size does not fit the parent."""
    tensors = load_file(delta / "lorb_delta.safetensors")
    save_file(tensors | {name: torch.ones(5)}, delta / "lorb_delta.safetensors")
    with pytest.raises(BaseNotFound, match=f"5 values for {name.removesuffix('.difference')}"):
        load_base("delta")


def test_truncated_files_are_refused(delta):
    """The error names a JSON or tensors file that ends early."""
    for name in ("lorb_delta.safetensors", "lorb_delta.json"):
        content = (delta / name).read_bytes()
        (delta / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(BaseNotFound, match=name.replace(".", r"\.")):
            load_base("delta")


def test_bases_of_different_architecture_have_no_delta(parent, changed, tiny_roberta, capsys, tmp_path):
    """Another tokenizer or architecture is a usage error: one line, exit status 2, no folder."""
    assert base_delta_cli.main([changed, "--of", str(tiny_roberta), "--output-base", "delta"]) == 2
    assert "another tokenizer or configuration" in capsys.readouterr().err
    assert not (tmp_path / "delta").exists()


def test_a_folder_that_is_not_empty_is_left_alone(parent, changed, capsys, tmp_path):
    """An output folder with content is an error, and its content stays."""
    assert base_delta_cli.main([changed, "--of", parent, "--output-base", parent]) == 2
    assert "not empty" in capsys.readouterr().err
    assert load_base(parent).head is None


def test_an_impossible_output_is_refused_before_the_bases_are_read(tmp_path, capsys):
    """An output below a file gives a one-line error and exit status 2, before the bases are read."""
    (tmp_path / "file").write_text("")
    output = tmp_path / "file" / "delta"
    assert base_delta_cli.main(["no-such-base", "--of", "no-such-parent", "--output-base", str(output)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"output-base {output} cannot be created: {tmp_path / 'file'} is not a writable folder" in error


def test_a_disk_that_fills_up_leaves_nothing(parent, changed, capsys, tmp_path):
    """A write beyond the file size limit gives a one-line error and exit status 2, and leaves no partial folder."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        status = base_delta_cli.main([changed, "--of", parent, "--output-base", "delta"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert status == 2
    assert "output-base delta cannot be written: " in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["changed", "parent"]


def test_all_files_have_the_same_permissions(delta):
    """A server that runs as another user can read every file that the umask allows, tensors included."""
    assert len({file.stat().st_mode & 0o777 for file in delta.iterdir()}) == 1


def test_an_unreadable_configuration_is_told_by_its_name(delta):
    """If lorb_delta.json cannot be read, the error names it, not the tensors' file."""
    (delta / "lorb_delta.json").unlink()
    (delta / "lorb_delta.json").symlink_to("/proc/self/mem")
    with pytest.raises(BaseNotFound, match=r"lorb_delta\.json cannot be read"):
        load_base("delta")


@pytest.mark.parametrize(
    "tensors",
    [
        {"x": torch.zeros(1)},
        {"encoder.layer.0.output.dense.weight.levels": torch.zeros(1024, dtype=torch.uint8)},
        {"encoder.layer.0.output.dense.weight.other": torch.zeros(2048)},
        {"encoder.layer.0.output.dense.weight.difference": torch.zeros(2048, dtype=torch.int64)},
    ],
)
def test_tensors_that_are_no_difference_are_refused(delta, tensors):
    """Tensors without a kind, without scales, of an unknown kind or of whole numbers are an error in one line."""
    save_file(tensors, delta / "lorb_delta.safetensors")
    with pytest.raises(BaseNotFound, match=f"has a tensor {next(iter(tensors))} that no weight's difference has"):
        load_base("delta")

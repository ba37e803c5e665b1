"""Measures of weight updates on matrices with known answers."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from study.table8_lora_vs_full.layer_means import by_layer, by_site, place_of
from study.table8_lora_vs_full.layers import overlap
from study.table8_lora_vs_full.similarity import jensen_shannon, linear_cka
from study.table8_lora_vs_full.spectrum import TOP, directions, effective_rank, spectrum, subspace_overlap

seeds = st.integers(0, 2**32 - 1)


def drawn(seed, *shape):
    """A matrix of normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def orthonormal(seed, size, count):
    """`count` random orthonormal columns."""
    return torch.linalg.qr(drawn(seed, size, count))[0]


def test_the_effective_rank_of_equal_singular_values_is_their_number():
    """Five equal singular values have effective rank 5, one has 1."""
    assert effective_rank(torch.tensor([2.0] * 5 + [0.0] * 3)) == pytest.approx(5.0)
    assert effective_rank(torch.tensor([7.0, 0.0])) == pytest.approx(1.0)
    assert effective_rank(torch.tensor([0.5, 0.25, 0.25])) == pytest.approx(math.exp(1.5 * math.log(2)))


@given(seeds, st.integers(1, 12))
def test_a_spectrum_of_a_product_is_within_its_rank(seed, rank):
    """TOP directions hold all energy, and the effective rank is between 1 and the rank."""
    update = drawn(seed, 20, rank) @ drawn(seed + 1, rank, 30)
    found = spectrum(update, drawn(seed + 2, 20, 30))
    assert 1.0 <= found.effective_rank <= rank + 1e-6
    assert 0.0 < found.top_energy <= 1.0 + 1e-9
    if rank <= TOP:
        assert found.top_energy == pytest.approx(1.0)


def test_a_spectrum_of_a_known_update():
    """Singular values 3 and 4 on a weight of norm 10."""
    found = spectrum(torch.diag(torch.tensor([3.0, 4.0])), torch.tensor([[6.0, 0.0], [0.0, 8.0]]))
    assert found.relative_norm == pytest.approx(0.5)
    assert found.top_energy == pytest.approx(1.0)
    assert spectrum(torch.zeros(3, 4), torch.ones(3, 4)).effective_rank == 0.0


@given(seeds, st.integers(1, 6), st.integers(1, 6))
def test_overlap_is_symmetric_and_between_0_and_1(seed, count, other_count):
    """For any subspaces; a subspace overlaps fully with a rotation of itself."""
    one, other = orthonormal(seed, 16, count), orthonormal(seed + 1, 16, other_count)
    shared = subspace_overlap(one, other)
    assert -1e-9 <= shared <= 1 + 1e-9
    assert shared == pytest.approx(subspace_overlap(other, one))
    turned = one @ orthonormal(seed + 2, count, count)
    assert subspace_overlap(one, turned) == pytest.approx(1.0)


def test_orthogonal_subspaces_share_nothing_and_random_ones_what_chance_gives():
    """Different axes: 0. Random 8 of 64 dimensions: 1/8 on average."""
    axes = torch.eye(64, dtype=torch.float64)
    assert subspace_overlap(axes[:, :8], axes[:, 8:12]) == 0.0
    mean = sum(subspace_overlap(axes[:, :8], orthonormal(seed, 64, 8)) for seed in range(50)) / 50
    assert mean == pytest.approx(1 / 8, abs=0.02)


def test_directions_are_those_an_update_was_made_of():
    """Output and input directions, the strongest first."""
    left, right = orthonormal(1, 12, 2), orthonormal(2, 20, 2)
    found = directions(left @ torch.diag(torch.tensor([5.0, 1.0], dtype=torch.float64)) @ right.T, 1)
    assert subspace_overlap(found.left, left[:, :1]) == pytest.approx(1.0)
    assert subspace_overlap(found.right, right[:, :1]) == pytest.approx(1.0)


@given(seeds, st.floats(0.1, 10.0), st.floats(-5.0, 5.0))
def test_cka_is_1_for_a_rotation_a_scaling_and_a_shift(seed, scale, shift):
    """CKA is invariant to the axes, symmetric, and below 1 for other states."""
    states = drawn(seed, 40, 6)
    turned = scale * states @ orthonormal(seed + 1, 6, 6) + shift
    assert linear_cka(states, turned) == pytest.approx(1.0, abs=1e-6)
    other = drawn(seed + 2, 40, 9)
    assert linear_cka(states, other) == pytest.approx(linear_cka(other, states))
    assert 0.0 <= linear_cka(states, other) < 1.0


@given(seeds)
def test_divergence_is_symmetric_within_0_and_1_bit(seed):
    """For any distributions; 0 for equal ones, with zeros too."""
    one, other = (torch.softmax(4 * drawn(seed + i, 5, 7), -1) for i in range(2))
    one[:, 0] = 0.0
    one /= one.sum(-1, keepdim=True)
    there, back = jensen_shannon(one, other), jensen_shannon(other, one)
    assert torch.allclose(there, back)
    assert bool((there >= 0).all())
    assert bool((there <= 1).all())
    assert torch.equal(jensen_shannon(one, one), torch.zeros(5, dtype=torch.float64))


def test_divergence_of_distributions_apart_is_1_bit():
    """Disjoint distributions diverge by 1 bit, and a fair coin from a certain outcome by a known amount."""
    one, other, fair = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), torch.tensor([0.5, 0.5])
    assert float(jensen_shannon(one, other)) == pytest.approx(1.0)
    assert float(jensen_shannon(one, fair)) == pytest.approx(0.75 * math.log2(4 / 3))


def test_figures_of_sites_are_averaged_by_layer_and_by_site():
    """Means are taken by layer, in the order of layer numbers, and by site; a path outside layers is refused."""
    figures = {
        f"encoder.layer.{n}.{site}": {"x": n + extra} for n in (0, 2, 10) for site, extra in (("a", 0), ("b", 1))
    }
    assert by_layer(figures, "x") == [0.5, 2.5, 10.5]
    assert by_site(figures, "x") == {"a": 4.0, "b": 5.0}
    with pytest.raises(ValueError, match="pooler is in no layer"):
        place_of("pooler")


def test_overlap_is_beside_what_chance_gives():
    """An update overlaps fully with itself."""
    updates = {"encoder.layer.0.x": drawn(3, 32, 16)}
    found = overlap(updates, updates)
    assert found["left"] == pytest.approx(1.0)
    assert found["left_by_chance"] == 8 / 32
    assert found["right_by_chance"] == 8 / 16

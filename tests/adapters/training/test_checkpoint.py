"""A training state reads back as it was written, to the bit, and a torn one is refused."""

import pytest
import torch

from lorb.errors import InvalidInput
from lorb_adapters.training.checkpoint import Best, DevEvaluation, StepReport, TrainingState


def checkpoint_state():
    generator = torch.Generator().manual_seed(0)

    def tensors():
        return {"a.A": torch.randn(2, 3, generator=generator), "head.bias": torch.randn((), generator=generator)}

    return TrainingState(
        now=tensors(),
        step=7,
        mean=tensors(),
        square=tensors(),
        average=tensors(),
        best=Best(tensors(), [[0.1, -1 / 3], [], [2e-9]], 5, 12),
        evaluations_without_gain=1,
        steps=[StepReport(7, 9, 0.7, {"mwer": -0.1, "correlation": 1 / 3}, -0.1, 1.25, 99)],
        looks=[DevEvaluation(5, 0.5, 0.7, 16.2, True)],
        seconds=12.5,
        is_done=True,
        stage_end_seconds=[3.5, 1 / 3],
        made=tensors(),
    )


def test_a_state_reads_back_to_the_bit():
    """Tensors of all groups, dev scores and the run's course."""
    before = checkpoint_state()
    after = TrainingState.from_bytes(before.to_bytes(), "here")
    for group in ("now", "mean", "square", "average", "made"):
        assert all(torch.equal(tensor, getattr(after, group)[name]) for name, tensor in getattr(before, group).items())
    assert all(torch.equal(tensor, after.best.tensors[name]) for name, tensor in before.best.tensors.items())
    assert after.best.dev_scores == before.best.dev_scores
    rest = ("step", "evaluations_without_gain", "steps", "looks", "seconds", "is_done", "stage_end_seconds")
    assert all(getattr(after, name) == getattr(before, name) for name in rest)
    assert (after.best.step, after.best.errors) == (5, 12)


def test_a_state_before_the_first_look_reads_back():
    """Without moments, average or best."""
    after = TrainingState.from_bytes(TrainingState(tensors={"w": torch.ones(1)}).to_bytes(), "here")
    assert after.best is None
    assert after.mean == after.average == {}


@pytest.mark.parametrize("damage", [lambda b: b[:-4], lambda b: b[:20], lambda b: b"", lambda b: b"\0" * len(b)])
def test_a_torn_checkpoint_is_refused_by_its_place(damage):
    """Cut or zeroed, it is named with what to do."""
    with pytest.raises(InvalidInput, match=r"here is no checkpoint .*--restart"):
        TrainingState.from_bytes(damage(checkpoint_state().to_bytes()), "here")

"""Checkpoints: a state reads back to the bit, its keys are stable, and a damaged file is refused."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load

from lorb.errors import InvalidInput
from lorb_adapters.training.checkpoint import BestOnDev, DevEvaluation, StepReport, TrainingState


def full_state():
    generator = torch.Generator().manual_seed(0)

    def tensors():
        return {"a.A": torch.randn(2, 3, generator=generator), "head.bias": torch.randn((), generator=generator)}

    return TrainingState(
        tensors=tensors(),
        step=7,
        first_moments=tensors(),
        second_moments=tensors(),
        moving_average=tensors(),
        best=BestOnDev(tensors(), [[0.1, -1 / 3], [], [2e-9]], 5, 12),
        evaluations_without_gain=1,
        steps=[StepReport(7, 9, 0.7, {"mwer": -0.1, "correlation": 1 / 3}, -0.1, 1.25, 99)],
        evaluations=[DevEvaluation(5, 0.5, 0.7, 16.2, True)],
        evaluation_scores=[torch.randn(3, generator=generator) for _ in range(11)],
        seconds=12.5,
        is_done=True,
        stage_end_seconds=[3.5, 1 / 3],
        artifacts=tensors(),
    )


def test_a_state_reads_back_to_the_bit():
    """All tensors, dev scores, reports and counters survive writing and reading."""
    before = full_state()
    after = TrainingState.from_bytes(before.to_bytes(), "here")
    for group in ("tensors", "first_moments", "second_moments", "moving_average", "artifacts"):
        assert all(torch.equal(tensor, getattr(after, group)[name]) for name, tensor in getattr(before, group).items())
    assert all(torch.equal(tensor, after.best.tensors[name]) for name, tensor in before.best.tensors.items())
    assert after.best.dev_scores == before.best.dev_scores
    assert all(map(torch.equal, after.evaluation_scores, before.evaluation_scores))
    assert len(after.evaluation_scores) == len(before.evaluation_scores)
    rest = ("step", "evaluations_without_gain", "steps", "evaluations", "seconds", "is_done", "stage_end_seconds")
    assert all(getattr(after, name) == getattr(before, name) for name in rest)
    assert (after.best.step, after.best.errors) == (5, 12)


def test_the_keys_of_the_file_are_stable():
    """A checkpoint has the tensor groups and the header keys that earlier versions wrote and read, and the scores."""
    content = full_state().to_bytes()
    assert {name.partition("/")[0] for name in load(content)} == {
        "now", "mean", "square", "average", "best", "made", "best dev scores", "evaluation scores",
    }  # fmt: skip
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]["state"]
    assert json.loads(header).keys() == {
        "schema", "step", "looks_without_gain", "steps", "looks", "seconds", "is_done", "stage_ends", "best",
    }  # fmt: skip


def test_an_older_checkpoint_has_the_scores_of_its_best_evaluation():
    """Older releases kept no scores but the best ones: these are the only ones to choose from after resuming."""
    older = replace(full_state(), evaluation_scores=[])
    after = TrainingState.from_bytes(older.to_bytes(), "here")
    assert [scores.tolist() for scores in after.evaluation_scores] == [torch.tensor([0.1, -1 / 3, 2e-9]).tolist()]


def test_a_state_before_the_first_evaluation_reads_back():
    """A state without moments, moving average and best values reads back as such."""
    after = TrainingState.from_bytes(TrainingState(tensors={"w": torch.ones(1)}).to_bytes(), "here")
    assert after.best is None
    assert after.first_moments == after.moving_average == {}


@pytest.mark.parametrize("damage", [lambda b: b[:-4], lambda b: b[:20], lambda b: b"", lambda b: b"\0" * len(b)])
def test_a_damaged_checkpoint_is_refused(damage):
    """The error for a truncated or zeroed file names its place and --restart."""
    with pytest.raises(InvalidInput, match=r"here is not a checkpoint .*--restart"):
        TrainingState.from_bytes(damage(full_state().to_bytes()), "here")

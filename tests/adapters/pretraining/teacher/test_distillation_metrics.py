"""Metrics of teacher and student."""

import math

import pytest
import torch

from lorb_adapters.pretraining.teacher.distillation_metrics import DistillationMetrics


def test_pairs_correlation_and_perplexity_of_a_worked_example():
    """The teacher prefers two of three true sentences and the student one; four nats per token are e^4."""
    teacher = torch.tensor([-4.0, -8.0, -12.0]), torch.tensor([-5.0, -9.0, -11.0])
    student = torch.tensor([-2.0, -9.0, -12.0]), torch.tensor([-3.0, -9.0, -11.0])
    metrics = DistillationMetrics.measure(teacher, student, num_tokens=6, num_distilled=50, num_hypotheses=20)
    assert (metrics.pairs, metrics.teacher_pairs, metrics.student_pairs) == (3, 2, 1)
    assert (metrics.num_distilled, metrics.num_hypotheses) == (50, 20)
    assert metrics.pseudo_perplexity == pytest.approx(math.exp(4))
    assert 0.9 < metrics.correlation < 1


def test_a_student_with_constant_scores_has_no_correlation():
    """The correlation with constant scores is 0, not NaN, which JSON cannot hold."""
    teacher, student = (torch.zeros(1), torch.ones(1)), (torch.zeros(1), torch.zeros(1))
    metrics = DistillationMetrics.measure(teacher, student, num_tokens=0, num_distilled=1, num_hypotheses=0)
    assert metrics.correlation == 0
    assert metrics.pseudo_perplexity == 1

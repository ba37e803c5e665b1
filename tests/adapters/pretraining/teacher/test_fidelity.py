"""What is said of teacher and student."""

import math

import pytest
import torch

from lorb_adapters.pretraining.teacher.fidelity import Fidelity


def test_pairs_correlation_and_perplexity_of_a_worked_example():
    """Two of three pairs told apart by the teacher, one by the student; four nats a token are e^4."""
    teacher = torch.tensor([-4.0, -8.0, -12.0]), torch.tensor([-5.0, -9.0, -11.0])
    student = torch.tensor([-2.0, -9.0, -12.0]), torch.tensor([-3.0, -9.0, -11.0])
    fidelity = Fidelity.measure(teacher, student, num_tokens=6, learnt=(50, 20))
    assert (fidelity.pairs, fidelity.teacher_pairs, fidelity.student_pairs) == (3, 2, 1)
    assert (fidelity.num_learnt, fidelity.num_hypotheses) == (50, 20)
    assert fidelity.pseudo_perplexity == pytest.approx(math.exp(4))
    assert 0.9 < fidelity.correlation < 1


def test_a_student_that_says_the_same_of_all_has_no_correlation():
    """Not NaN, which JSON has not."""
    fidelity = Fidelity.measure(
        (torch.zeros(1), torch.ones(1)), (torch.zeros(1), torch.zeros(1)), num_tokens=0, learnt=(1, 0)
    )
    assert fidelity.correlation == 0
    assert fidelity.pseudo_perplexity == 1

"""Trains the objective "pll", RescoreBERT (arXiv 2202.01094), in three stages, each with a budget of sentences.

1. Train a masked LM on the text.
2. Compute pseudo-log-likelihoods (PLL) of sentences with the masked LM.
3. Distil the PLLs into a score head that needs one forward pass.
"""

import random
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from lorb.errors import InvalidInput
from lorb_adapters.base.loader import Base
from lorb_adapters.pretraining.config import BuildConfig
from lorb_adapters.pretraining.corpus.corpus import Corpus
from lorb_adapters.pretraining.corpus.sentences import NO_NORMALIZATION
from lorb_adapters.pretraining.objectives.distillation import (
    DistillationExample,
    Student,
    TargetScale,
    distillation_example,
)
from lorb_adapters.pretraining.objectives.masked_lm import MaskedExample, MaskedLm
from lorb_adapters.pretraining.objectives.masked_lm_head import MaskedLmHead
from lorb_adapters.pretraining.objectives.objective import TrainedBase
from lorb_adapters.pretraining.staged_trainer import Stage, StagedTrainer
from lorb_adapters.pretraining.teacher.distillation_metrics import DistillationMetrics
from lorb_adapters.pretraining.teacher.teacher import Teacher
from lorb_adapters.pretraining.teacher.teacher_sentences import TeacherSentences
from lorb_adapters.text import EncodedHypothesis

_MASKED_LM, _TEACHER, _DISTILLATION = range(3)
_LOG_PROBABILITIES = "log probabilities"  # the artifact's name in checkpoints
_MAX_COUNTED = 20_000  # sentences whose token frequencies initialise the bias of an untrained head


class PseudoLikelihood:
    """The three stages of RescoreBERT: masked LM, teacher, distillation."""

    stage_names: tuple[str, ...] = ("masked LM", "teacher", "distillation")

    def __init__(self, base: Base, config: BuildConfig) -> None:
        """Trains `base` in place. Raises InvalidInput if `base` cannot be trained with this objective."""
        self._base, self._config = base, config
        self._head = MaskedLmHead.of(base, config.seed)
        if self._head.is_untrained and config.num_sentences == 0:
            raise InvalidInput(
                f"sentences is 0, but base {base.name!r} has no masked-LM head: give sentences to train a head on",
                field="sentences",
            )
        self._masked_lm = MaskedLm(base, config, self._head)

    def identity(self) -> dict[str, object]:
        """The digest of the masked-LM head, which is not part of the base's fingerprint."""
        return {"masked_lm_head": self._head.digest}

    def train(self, trainer: StagedTrainer, corpus: Corpus) -> TrainedBase:
        """Runs the remaining stages, from the trainer's last checkpoint on."""
        sentences = TeacherSentences.draw(corpus, self._config, self._base.text_encoder)
        if trainer.stage_number == _MASKED_LM:
            self._train_masked_lm(trainer, corpus)
            trainer.end_stage(self._masked_lm.tensors)
        if trainer.stage_number == _TEACHER:
            self._compute_teacher_scores(trainer, sentences)
        counts = [len(self._masked_lm.text_positions(row)) for row in sentences.rows]
        log_probabilities = torch.split(trainer.state.artifacts[_LOG_PROBABILITIES], counts)
        examples = [
            distillation_example(row, values.tolist(), self._config.head)
            for row, values in zip(sentences.distilled, log_probabilities, strict=False)
        ]
        student = Student(self._base, self._config, TargetScale.of(examples))
        if trainer.stage_number == _TEACHER:
            trainer.end_stage(student.tensors)
        if trainer.stage_number == _DISTILLATION:
            trainer.train(self._distillation(student, examples))
            trainer.end_stage(student.tensors)
        else:
            student.restore(trainer.state.tensors)
        return TrainedBase(student, lambda: _metrics(sentences, log_probabilities, student))

    def _train_masked_lm(self, trainer: StagedTrainer, corpus: Corpus) -> None:
        config, encoder, model = self._config, self._base.text_encoder, self._masked_lm

        def encode(numbers: Iterable[int]) -> list[EncodedHypothesis]:
            texts = [corpus.sentences[number] for number in numbers]
            return encoder.encode(texts, "", NO_NORMALIZATION, uses_context=False)

        def draw(numbers: Sequence[int], first: int) -> list[MaskedExample]:
            examples = [
                model.mask_random_tokens(row, config.masked_share, random.Random(f"{config.seed}/masks/{position}"))  # noqa: S311 - no secret
                for position, row in enumerate(encode(numbers), start=first)
            ]
            return sorted(examples, key=lambda each: each.encoded.num_tokens)

        size = len(corpus.sentences)
        if not trainer.state.tensors:
            model.initialize_bias(encode(range(min(size, _MAX_COUNTED))))
        trainer.train(Stage(self.stage_names[_MASKED_LM], model, size, config.num_sentences, draw, model.loss))

    def _compute_teacher_scores(self, trainer: StagedTrainer, sentences: TeacherSentences) -> None:
        """Stores the teacher's log-probabilities of all sentences as an artifact of the run."""
        artifacts, progress, model = trainer.state.artifacts, trainer.progress, self._masked_lm
        model.restore(trainer.state.tensors)
        parts = [artifacts.get(_LOG_PROBABILITIES, torch.empty(0))]
        num_done, total = len(parts[0]), sum(len(model.text_positions(row)) for row in sentences.rows)
        progress.log(f"stage: {self.stage_names[_TEACHER]}, {len(sentences.rows):,} sentences, {total:,} tokens")
        for part in Teacher(model).log_probabilities(sentences.rows, num_done):
            parts.append(part)
            num_done += len(part)
            trainer.heap_trimmer.trim_if_grown()
            progress.report_preparation(self.stage_names[_TEACHER], num_done, total)
            if trainer.is_checkpoint_due:
                parts = [torch.cat(parts)]
                artifacts[_LOG_PROBABILITIES] = parts[0]
                trainer.save_checkpoint()
        artifacts[_LOG_PROBABILITIES] = torch.cat(parts)

    def _distillation(self, student: Student, examples: Sequence[DistillationExample]) -> Stage[DistillationExample]:
        def draw(numbers: Sequence[int], first: int) -> list[DistillationExample]:
            del first  # these examples involve no random draws
            return sorted((examples[number] for number in numbers), key=lambda each: each.encoded.num_tokens)

        num_sentences = self._config.num_distillation_sentences
        return Stage(self.stage_names[_DISTILLATION], student, len(examples), num_sentences, draw, student.loss)


def _metrics(sentences: TeacherSentences, log_probabilities: Sequence[Tensor], student: Student) -> DistillationMetrics:
    likelihoods = torch.stack([values.double().sum() for values in log_probabilities])
    first, second = len(sentences.distilled), len(sentences.distilled) + len(sentences.true)
    return DistillationMetrics.measure(
        teacher=(likelihoods[first:second], likelihoods[second:]),
        student=(student.scores_of(sentences.true), student.scores_of(sentences.corrupted)),
        num_tokens=sum(len(values) for values in log_probabilities[first:second]),
        num_distilled=len(sentences.distilled),
        num_hypotheses=sentences.num_hypotheses,
    )

"""The objective "pll": RescoreBERT's base (arXiv 2202.01094) in three stages, each with a budget of sentences."""

import random
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from lorb.errors import InvalidInput
from lorb_adapters.base.loader import Base
from lorb_adapters.pretraining.config import BuildConfig
from lorb_adapters.pretraining.corpus.corpus import Corpus
from lorb_adapters.pretraining.corpus.sentences import AS_IT_IS
from lorb_adapters.pretraining.objectives.distillation import Student, TaughtRow, Unit, teach
from lorb_adapters.pretraining.objectives.masked_lm import MaskedLm, MaskedRow
from lorb_adapters.pretraining.objectives.masked_lm_head import MaskedLmHead
from lorb_adapters.pretraining.staged_trainer import Stage, StagedTrainer
from lorb_adapters.pretraining.teacher.fidelity import Fidelity
from lorb_adapters.pretraining.teacher.teacher import Teacher
from lorb_adapters.pretraining.teacher.teacher_texts import TeacherTexts
from lorb_adapters.pretraining.trained_base import TrainedBase
from lorb_adapters.text import EncodedHypothesis

_MASKED_LM, _TEACHER, _DISTILLATION = range(3)
_MADE = "log probabilities"
_MOST_COUNTED = 20_000  # sentences by which a fresh head learns how frequent tokens are


class PseudoLikelihood:
    """Trains a masked LM, lets it judge sentences, and trains it further to judge them in one pass."""

    stages = ("masked LM", "teacher", "distillation")

    def __init__(self, base: Base, config: BuildConfig) -> None:
        """Takes `base` over. Raises InvalidInput where it is none that can be trained so."""
        self._base, self._config = base, config
        self._head = MaskedLmHead.of(base, config.seed)
        if self._head.is_fresh and config.num_sentences == 0:
            raise InvalidInput(
                f"sentences is 0, and base {base.name!r} has no masked-LM head: it has to be trained", field="sentences"
            )
        self._model = MaskedLm(base, config, self._head)

    def identity(self) -> dict[str, object]:
        """What decides the result beside base, config and files."""
        return {"masked_lm_head": self._head.digest}

    def train(self, course: StagedTrainer, material: Corpus) -> TrainedBase:
        """Goes through the course from where it stands."""
        texts = TeacherTexts.draw(material, self._config, self._base.text_encoder)
        if course.stage == _MASKED_LM:
            self._learn_text(course, material)
            course.advance(self._model.tensors)
        if course.stage == _TEACHER:
            self._judge(course, texts)
        counts = [len(self._model.text_positions(row)) for row in texts.rows]
        judged = torch.split(course.state.made[_MADE], counts)
        taught = [
            teach(row, values.tolist(), self._config.head) for row, values in zip(texts.learnt, judged, strict=False)
        ]
        student = Student(self._base, self._config, Unit.of(taught))
        if course.stage == _TEACHER:
            course.advance(student.tensors)
        if course.stage == _DISTILLATION:
            course.train(self._distillation(student, taught))
            course.advance(student.tensors)
        else:
            student.restore(course.state.now)
        return TrainedBase(student, lambda: _fidelity(texts, judged, student))

    def _learn_text(self, course: StagedTrainer, material: Corpus) -> None:
        config, encoder = self._config, self._base.text_encoder

        def rows(numbers: Iterable[int]) -> list[EncodedHypothesis]:
            texts = [material.sentences[number] for number in numbers]
            return encoder.encode(texts, "", AS_IT_IS, uses_context=False)

        def draw(numbers: Sequence[int], first: int) -> list[MaskedRow]:
            hidden = [
                self._model.hide_some(row, config.masked_share, random.Random(f"{config.seed}/masks/{place}"))  # noqa: S311 - masks, not secrets
                for place, row in enumerate(rows(numbers), start=first)
            ]
            return sorted(hidden, key=lambda each: each.row.num_tokens)

        size = len(material.sentences)
        if not course.state.now:
            self._model.begin(rows(range(min(size, _MOST_COUNTED))))
        course.train(Stage(self.stages[_MASKED_LM], self._model, size, config.num_sentences, draw, self._model.loss))

    def _judge(self, course: StagedTrainer, texts: TeacherTexts) -> None:
        """Puts the teacher's log-probabilities of all texts among what the run has made."""
        made, progress = course.state.made, course.progress
        self._model.restore(course.state.now)
        parts = [made.get(_MADE, torch.empty(0))]
        num_done, total = len(parts[0]), sum(len(self._model.text_positions(row)) for row in texts.rows)
        progress.say(f"stage: {self.stages[_TEACHER]}, {len(texts.rows):,} sentences, {total:,} tokens")
        for part in Teacher(self._model).log_probabilities(texts.rows, num_done):
            parts.append(part)
            num_done += len(part)
            course.pages.bound()
            progress.preparing(self.stages[_TEACHER], num_done, total)
            if course.is_time_to_keep:
                parts = [torch.cat(parts)]
                made[_MADE] = parts[0]
                course.keep()
        made[_MADE] = torch.cat(parts)

    def _distillation(self, student: Student, taught: Sequence[TaughtRow]) -> Stage[TaughtRow]:
        def draw(numbers: Sequence[int], first: int) -> list[TaughtRow]:
            del first  # nothing is drawn but the order
            return sorted((taught[number] for number in numbers), key=lambda each: each.row.num_tokens)

        num_sentences = self._config.num_distillation_sentences
        return Stage(self.stages[_DISTILLATION], student, len(taught), num_sentences, draw, student.loss)


def _fidelity(texts: TeacherTexts, judged: Sequence[Tensor], student: Student) -> Fidelity:
    likelihoods = torch.stack([values.double().sum() for values in judged])
    first, second = len(texts.learnt), len(texts.learnt) + len(texts.true)
    num_tokens = sum(len(values) for values in judged[first:second])
    scores = student.scores_of(texts.true), student.scores_of(texts.corrupted)
    learnt = len(texts.learnt), texts.num_hypotheses
    return Fidelity.measure((likelihoods[first:second], likelihoods[second:]), scores, num_tokens, learnt)

"""One run of lorb-build-base, start to end: read the text, train, measure."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lorb.errors import InvalidInput
from lorb.formats import Notices
from lorb.nbest import NBest
from lorb_adapters.base import Base
from lorb_adapters.memory import peak_memory_bytes
from lorb_adapters.training.base_building.config import BuildConfig
from lorb_adapters.training.base_building.confusions import Confusions
from lorb_adapters.training.base_building.corruption import Corruptor
from lorb_adapters.training.base_building.detection import Detection, Detector, LabelledRow, detection_loss, label
from lorb_adapters.training.base_building.files import BuildFiles
from lorb_adapters.training.base_building.lowest_layers import lowest_layers
from lorb_adapters.training.base_building.near_words import NearWords
from lorb_adapters.training.base_building.report import BuildReport
from lorb_adapters.training.base_building.sentences import Sentences, text_lines
from lorb_adapters.training.base_building.zero_shot import ZeroShot
from lorb_adapters.training.lists import prepare
from lorb_adapters.training.optimizer import Optimizer
from lorb_adapters.training.progress import TrainingProgress
from lorb_adapters.training.run import RESTART, RESUME, START, Keeping
from lorb_adapters.training.run_folder import RunFolder
from lorb_adapters.training.state import TrainingState
from lorb_adapters.training.step_report import StepReport

_ROWS_PER_PASS = 256


@dataclass(frozen=True, slots=True)
class Built:
    """A run's end: the trained model, and its report; the folder is still held."""

    detector: Detector
    report: BuildReport
    folder: RunFolder


def build(
    base: Base, files: BuildFiles, config: BuildConfig, progress: TrainingProgress, keeping: Keeping, command: str = ""
) -> Built:
    """Trains all of `base`, which it takes over, and measures. Raises InvalidInput or MalformedFile."""
    if config.num_layers is not None:
        base = lowest_layers(base, config.num_layers)
    detector = Detector(base, config)
    with ExitStack() as on_failure:
        folder = on_failure.enter_context(RunFolder(keeping.folder))
        begin = {START: folder.start, RESUME: folder.resume, RESTART: folder.restart}[keeping.begin]
        begin(_identity(detector, files, config))
        material = _read(files, config, folder.path, progress)
        content = folder.load()
        state = TrainingState.from_bytes(content, "the run's checkpoint") if content else TrainingState(now={})
        if content:
            detector.restore(state.now)
            progress.resume(state)
        with progress:
            _train(
                detector,
                config,
                material,
                state,
                progress,
                lambda now: folder.save(now.to_bytes()),
                keeping.checkpoint_seconds,
            )
            seconds = progress.seconds
        progress.say("measuring on held-out sentences" + (" and dev" if material.dev else ""))
        report = BuildReport(
            command=command,
            base_name=base.name,
            base_fingerprint=base.fingerprint,
            config=config,
            data_sha256=files.sha256(),
            counts=material.counts(),
            num_parameters=detector.num_trained,
            train_seconds=seconds,
            peak_memory_bytes=peak_memory_bytes(),
            detection=_held_out(detector, config, material),
            zero_shot=_on_dev(detector, config, material),
            steps=tuple(progress.steps),
        )
        on_failure.pop_all()
    return Built(detector, report, folder)


@dataclass(frozen=True, slots=True)
class _Material:
    """What a run reads."""

    sentences: Sentences
    confusions: Confusions
    corruptor: Corruptor
    dev: list[NBest]
    num_overlapping: int

    def counts(self) -> dict[str, int]:
        dropped = self.sentences.dropped
        return {
            "sentences to train on": len(self.sentences),
            "words": self.sentences.word_counts.total(),
            "distinct words": len(self.sentences.word_counts),
            **{f"sentences {reason}": count for reason, count in sorted(dropped.items())},
            "confusions counted": self.confusions.counts.total(),
            "distinct confusions": len(self.confusions.counts),
            "lists for confusions left out, they stand in dev": self.num_overlapping,
            "dev lists": len(self.dev),
        }


def _identity(detector: Detector, files: BuildFiles, config: BuildConfig) -> dict[str, Any]:
    """All that decides the result; what differs from it cannot be resumed."""
    return {
        "config": asdict(config),
        "data": files.identity(),
        "base": detector.base.fingerprint,
        "device": detector.base.device.type,
        "dtype": str(detector.dtype),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def _read(files: BuildFiles, config: BuildConfig, folder: Path, progress: TrainingProgress) -> _Material:
    notices = Notices()
    lists, dev = files.read(files.confusions, notices), files.read(files.dev, notices)
    for notice in notices.lines():
        progress.say(notice)
    if len(dev) == 1:
        raise InvalidInput("dev is one list: each half of dev is ranked with the weight of the other", field="dev")
    in_dev = {nbest.id for nbest in dev}
    kept = [nbest for nbest in lists if nbest.id not in in_dev]
    confusions = Confusions.learn(kept, config.normalization)
    sentences = Sentences.collect(
        chain(text_lines(files.text), (nbest.reference or "" for nbest in kept)),
        folder,
        config,
        kept_out={config.normalization.apply(nbest.reference or "") for nbest in dev},
        report=lambda count: progress.say(f"read {count:,} lines of text") if count % 200_000 == 0 and count else None,
    )
    corruptor = Corruptor(NearWords(sentences.word_counts), confusions, config)
    material = _Material(sentences, confusions, corruptor, dev, len(lists) - len(kept))
    progress.say("  ".join(f"{count:,} {name}" for name, count in material.counts().items()))
    return material


def _train(
    detector: Detector,
    config: BuildConfig,
    material: _Material,
    state: TrainingState,
    progress: TrainingProgress,
    keep: Callable[[TrainingState], None],
    checkpoint_seconds: float,
) -> None:
    """Brings `detector` from `state` to its end; the course is the same to the bit wherever it begins."""
    optimizer = Optimizer(detector.tensors, config.training, state)
    last_kept = time.monotonic()
    for step, batch in enumerate(_batches(detector, config, material, state.step), start=state.step + 1):
        done = _step(
            detector, optimizer, batch, step, config.num_steps, len(material.sentences) / config.sentences_per_step
        )
        progress(done)
        state.step = step
        state.steps.append(done)
        if step == config.num_steps or time.monotonic() - last_kept >= checkpoint_seconds:
            state.now = dict(detector.tensors)
            state.mean, state.square, state.average = optimizer.moments()
            state.seconds, state.is_done = progress.seconds, step == config.num_steps
            keep(state)
            last_kept = time.monotonic()


def _step(
    detector: Detector, optimizer: Optimizer, batch: Sequence[LabelledRow], step: int, num_steps: int, per_epoch: float
) -> StepReport:
    """Forward, backward, one move of the optimiser."""
    optimizer.clear()
    scores = detector.token_scores([each.row for each in batch])
    loss = detection_loss(scores, _flags(batch, "wrong").to(scores.device))
    loss.backward()  # type: ignore[no-untyped-call]
    norm = optimizer.move(step, num_steps)
    value = float(loss.detach())
    num_tokens = sum(each.row.num_tokens for each in batch)
    return StepReport(step, num_steps, step / per_epoch, {"detection": value}, value, norm, num_tokens)


def _batches(
    detector: Detector, config: BuildConfig, material: _Material, steps_done: int
) -> Iterator[list[LabelledRow]]:
    """The sentences of each step from there on, corrupted by draws that depend on seed and place alone."""
    size = config.sentences_per_step
    order = material.sentences.order(config.seed, steps_done * size, config.num_sentences)
    for first in range(steps_done * size, config.num_sentences, size):
        texts = [material.sentences[number] for number in islice(order, size)]
        yield _corrupted(detector, material.corruptor, texts, f"{config.seed}/train/", first)


def _corrupted(
    detector: Detector, corruptor: Corruptor, texts: Sequence[str], key: str, first: int = 0
) -> list[LabelledRow]:
    corrupted = [
        corruptor.corrupt(text.split(), random.Random(f"{key}{place}"))  # noqa: S311 - corruption, not a secret
        for place, text in enumerate(texts, start=first)
    ]
    return label(corrupted, detector.base.text_encoder)


def _flags(rows: Sequence[LabelledRow], name: str) -> Tensor:
    return torch.tensor([flag for each in rows for flag in getattr(each, name)])


@torch.inference_mode()
def _held_out(detector: Detector, config: BuildConfig, material: _Material) -> Detection:
    rows = _corrupted(detector, material.corruptor, material.sentences.held_out, f"{config.seed}/held out/")
    parts = [rows[start : start + _ROWS_PER_PASS] for start in range(0, len(rows), _ROWS_PER_PASS)]
    scores = torch.cat([detector.token_scores([each.row for each in part]).cpu() for part in parts])
    return Detection.measure(scores, _flags(rows, "wrong"), _flags(rows, "judged"))


def _on_dev(detector: Detector, config: BuildConfig, material: _Material) -> ZeroShot | None:
    if not material.dev:
        return None
    lists = prepare(material.dev, detector.base.text_encoder, config.normalization, uses_context=False)
    return ZeroShot.measure(lists, detector.scores(detector.tensors, lists))

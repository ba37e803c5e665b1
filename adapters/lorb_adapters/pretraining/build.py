"""One run of lorb-build-base, start to end: read the text, train, measure."""

from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import torch

from lorb_adapters.base.loader import Base
from lorb_adapters.base.truncate import lowest_layers
from lorb_adapters.pretraining.config import PLL, REPLACED, BuildConfig
from lorb_adapters.pretraining.corpus.corpus import Corpus
from lorb_adapters.pretraining.corpus.files import BuildFiles
from lorb_adapters.pretraining.encoder_trainer import EncoderTrainer
from lorb_adapters.pretraining.objectives.pseudo_likelihood import PseudoLikelihood
from lorb_adapters.pretraining.objectives.replaced_tokens import Replaced
from lorb_adapters.pretraining.report import BuildReport
from lorb_adapters.pretraining.staged_trainer import StagedTrainer
from lorb_adapters.pretraining.zero_shot import ZeroShot
from lorb_adapters.process_memory import peak_memory_bytes
from lorb_adapters.training.data.encoded_lists import prepare
from lorb_adapters.training.encoder.precision import product_dtype
from lorb_adapters.training.progress import TrainingProgress
from lorb_adapters.training.run import RESTART, RESUME, START, Keeping
from lorb_adapters.training.run_folder import RunFolder

_OBJECTIVES: dict[str, type[Replaced | PseudoLikelihood]] = {REPLACED: Replaced, PLL: PseudoLikelihood}


@dataclass(frozen=True, slots=True)
class Built:
    """A run's end: the trained model, and its report; the folder is still held."""

    learner: EncoderTrainer
    report: BuildReport
    folder: RunFolder


def build(
    base: Base, files: BuildFiles, config: BuildConfig, progress: TrainingProgress, keeping: Keeping, command: str = ""
) -> Built:
    """Trains all of `base`, which it takes over, and measures. Raises InvalidInput or MalformedFile."""
    if config.num_layers is not None:
        base = lowest_layers(base, config.num_layers)
    objective = _OBJECTIVES[config.objective](base, config)
    with ExitStack() as on_failure:
        folder = on_failure.enter_context(RunFolder(keeping.folder))
        begin = {START: folder.start, RESUME: folder.resume, RESTART: folder.restart}[keeping.begin]
        begin(_identity(base, files, config) | objective.identity())
        material = Corpus.read(files, config, folder.path, progress)
        course = StagedTrainer(folder, config, progress, keeping.checkpoint_seconds)
        with progress:
            learnt = objective.train(course, material)
        progress.say("measuring on held-out sentences" + (" and dev" if material.dev else ""))
        report = BuildReport(
            command=command,
            base_name=base.name,
            base_fingerprint=base.fingerprint,
            config=config,
            data_sha256=files.sha256(),
            counts=material.counts(),
            num_parameters=learnt.learner.num_trained,
            stage_seconds=dict(zip(objective.stages, course.stage_seconds, strict=True)),
            peak_memory_bytes=peak_memory_bytes(),
            learnt=learnt.measure(),
            zero_shot=_on_dev(learnt.learner, config, material),
            steps=tuple(progress.steps),
        )
        on_failure.pop_all()
    return Built(learnt.learner, report, folder)


def _identity(base: Base, files: BuildFiles, config: BuildConfig) -> dict[str, Any]:
    """All that decides the result; what differs from it cannot be resumed."""
    return {
        "config": asdict(config),
        "data": files.identity(),
        "base": base.fingerprint,
        "device": base.device.type,
        "dtype": str(product_dtype(config.precision, base.device)),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def _on_dev(learner: EncoderTrainer, config: BuildConfig, material: Corpus) -> ZeroShot | None:
    if not material.dev:
        return None
    lists = prepare(material.dev, learner.base.text_encoder, config.normalization, uses_context=False)
    return ZeroShot.measure(lists, learner.scores(learner.tensors, lists))

"""One run of lorb-build-base from files to a trained base: reads the corpus, trains, measures and reports."""

from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import torch

from lorb_adapters.base.loader import Base
from lorb_adapters.base.truncate import truncate_base
from lorb_adapters.pretraining.config import PLL, REPLACED, BuildConfig
from lorb_adapters.pretraining.corpus.corpus import Corpus
from lorb_adapters.pretraining.corpus.files import BuildFiles
from lorb_adapters.pretraining.encoder_trainer import EncoderTrainer
from lorb_adapters.pretraining.objectives.objective import Objective
from lorb_adapters.pretraining.objectives.pseudo_likelihood import PseudoLikelihood
from lorb_adapters.pretraining.objectives.replaced_tokens import ReplacedTokens
from lorb_adapters.pretraining.report import BuildReport
from lorb_adapters.pretraining.staged_trainer import StagedTrainer
from lorb_adapters.pretraining.zero_shot import ZeroShotEvaluation
from lorb_adapters.process_memory import peak_memory_bytes
from lorb_adapters.training.data.encoded_lists import encode_lists
from lorb_adapters.training.encoder.forward import product_dtype
from lorb_adapters.training.progress import TrainingProgress
from lorb_adapters.training.run_folder import CheckpointOptions, RunFolder

_OBJECTIVES: dict[str, type[ReplacedTokens | PseudoLikelihood]] = {REPLACED: ReplacedTokens, PLL: PseudoLikelihood}


@dataclass(frozen=True, slots=True)
class BuildResult:
    """A trained model, its report, and the run's folder, which stays locked until the caller closes it."""

    model: EncoderTrainer
    report: BuildReport
    folder: RunFolder


def build(
    base: Base,
    files: BuildFiles,
    config: BuildConfig,
    progress: TrainingProgress,
    checkpoints: CheckpointOptions,
    command: str = "",
) -> BuildResult:
    """Trains `base` and measures the result. Callers must not use `base` afterwards.

    Raises InvalidInput if a setting or the text is not usable, and MalformedFile if an input file is malformed.
    """
    if config.num_layers is not None:
        base = truncate_base(base, config.num_layers)
    objective: Objective = _OBJECTIVES[config.objective](base, config)
    with ExitStack() as on_failure:
        folder = on_failure.enter_context(RunFolder(checkpoints.folder))
        folder.begin(checkpoints.start_mode, _identity(base, files, config) | objective.identity())
        corpus = Corpus.read(files, config, folder.path, progress)
        trainer = StagedTrainer(folder, config, progress, checkpoints.checkpoint_seconds)
        with progress:
            trained = objective.train(trainer, corpus)
        progress.log("measuring on held-out sentences" + (" and dev" if corpus.dev else ""))
        report = BuildReport(
            command=command,
            base_name=base.name,
            base_fingerprint=base.fingerprint,
            config=config,
            data_sha256=files.sha256(),
            counts=corpus.counts(),
            num_parameters=trained.model.num_trained_parameters,
            stage_seconds=dict(zip(objective.stage_names, trainer.stage_seconds, strict=True)),
            peak_memory_bytes=peak_memory_bytes(),
            held_out=trained.measure(),
            zero_shot=_measure_dev(trained.model, config, corpus),
            steps=tuple(progress.steps),
        )
        on_failure.pop_all()
    return BuildResult(trained.model, report, folder)


def _identity(base: Base, files: BuildFiles, config: BuildConfig) -> dict[str, Any]:
    """The values that decide the result. A run can be resumed only if all of them are unchanged."""
    return {
        "config": asdict(config),
        "data": files.identity(),
        "base": base.fingerprint,
        "device": base.device.type,
        "dtype": str(product_dtype(config.precision, base.device)),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def _measure_dev(model: EncoderTrainer, config: BuildConfig, corpus: Corpus) -> ZeroShotEvaluation | None:
    if not corpus.dev:
        return None
    lists = encode_lists(corpus.dev, model.base.text_encoder, config.normalization, uses_context=False)
    return ZeroShotEvaluation.measure(lists, model.scores(model.tensors, lists))

"""One training run from list files to a result: reads, trains, tunes on dev, measures and reports."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

import torch

from lorb_adapters.base.loader import Base
from lorb_adapters.process_memory import peak_memory_bytes
from lorb_adapters.ranking import Ranking, RankPrior
from lorb_adapters.training.checkpoint import TrainingState
from lorb_adapters.training.config import TrainConfig
from lorb_adapters.training.data.dataset import Dataset, read_dataset, unseen_references
from lorb_adapters.training.data.encoded_lists import EncodedList
from lorb_adapters.training.data.files import DataFiles
from lorb_adapters.training.data.first_pass import fit_rank_prior
from lorb_adapters.training.evaluation.breakdown import break_down
from lorb_adapters.training.evaluation.calibration import CalibrationChange
from lorb_adapters.training.evaluation.cross_fitting import cross_fit
from lorb_adapters.training.evaluation.set_figures import SetBreakdown
from lorb_adapters.training.evaluation.tuning import scored_lists, tune_ranking, weight_curve
from lorb_adapters.training.golden_lists import NO_GOLDEN_LISTS, choose_golden_lists
from lorb_adapters.training.loop import TrainedModel, train
from lorb_adapters.training.methods import Method, make_method
from lorb_adapters.training.methods.frozen_layers import cache_frozen_layers
from lorb_adapters.training.methods.threads import Threads
from lorb_adapters.training.processes import Processes
from lorb_adapters.training.progress import TrainingProgress
from lorb_adapters.training.publish import TrainingResult, make_publication, saved_size_bytes
from lorb_adapters.training.report.loss_curve import PLOT_POINTS, loss_curve, step_point
from lorb_adapters.training.report.report import BaseIdentity, Cost, Parameters, Report
from lorb_adapters.training.run_folder import CheckpointOptions, RunFolder


def run(
    domain: str,
    base: Base,
    files: DataFiles,
    config: TrainConfig,
    progress: TrainingProgress,
    *,
    command: str = "",
    golden_lists: bool = True,
    checkpoints: CheckpointOptions | None = None,
    processes: Processes | None = None,
    threads: int = 1,
) -> TrainingResult | None:
    """Trains and measures, but publishes nothing. Returns the result in the main process, and None in all others.

    base: callers must not use it afterwards, because some methods change it. command: shown in the report.
    golden_lists: whether the publication and the report may contain dev texts. threads: number of CPU threads among
    which each batch is divided. Raises MalformedFile if a list file is wrong, and InvalidInput if the settings, the
    lists or the state of the run's folder do not allow the run.
    """
    processes = processes or Processes()
    data = read_dataset(files, base.text_encoder, config, progress.log)
    train_lists = data.trainable_lists()
    progress.log("  ".join(f"{count:,} {name}" for name, count in data.list_counts().items()))
    prior = fit_rank_prior(data.train)
    method = make_method(base, config)
    with Threads(threads if base.device.type == "cpu" else 1) as method.threads, ExitStack() as on_failure:
        folder = None
        if checkpoints is not None and processes.is_main:
            folder = on_failure.enter_context(RunFolder(checkpoints.folder))
            folder.begin(checkpoints.start_mode, _identity(method, files, data, config, processes))
        trained = _train(method, train_lists, data.dev, prior, progress, checkpoints, folder, processes)
        if not processes.is_main:
            return None
        method.restore(trained.tensors)
        ranking = tune_ranking(data.dev, trained.dev_scores, prior, uses_switching_margin=config.uses_switching_margin)
        report = _report(domain, command, files, data, method, trained, ranking, progress, shows_dev_texts=golden_lists)
        publication = None
        if trained.weights is not None:
            golden = choose_golden_lists(method, trained, data.dev) if golden_lists else ()
            if golden_lists and not golden:
                progress.log(NO_GOLDEN_LISTS)
            publication = make_publication(report, config, trained.weights, data, golden)
        on_failure.pop_all()
    return TrainingResult(report, publication, method, trained, folder)


def _identity(
    method: Method, files: DataFiles, data: Dataset, config: TrainConfig, processes: Processes
) -> dict[str, Any]:
    """Returns the values that decide the result: a run can be resumed only if all of them are unchanged."""
    return {
        "config": asdict(config),
        "data": {**files.identity(), **data.identity()},
        "base": method.base.fingerprint,
        "device": method.base.device.type,
        "dtype": str(method.dtype),
        "threads": method.threads.count,
        "processes": processes.size,
        "torch": torch.__version__,
    }


def _train(
    method: Method,
    train_lists: Sequence[EncodedList],
    dev_lists: Sequence[EncodedList],
    prior: RankPrior,
    progress: TrainingProgress,
    checkpoints: CheckpointOptions | None,
    folder: RunFolder | None,
    processes: Processes,
) -> TrainedModel:
    """Trains, starting from the last checkpoint if there is one.

    checkpoints: the same in all processes. folder: None in all processes but the main process.
    """
    config = method.config
    checkpoint = processes.broadcast(b"" if folder is None else folder.load())
    state = TrainingState.from_bytes(checkpoint, "the run's checkpoint") if checkpoint else None
    if state is not None:
        progress.resume(state)
    is_done = state is not None and state.is_done
    if checkpoints is not None and config.layer_cache and method.first_trained_layer and not is_done:
        method.layer_cache = cache_frozen_layers(
            method, checkpoints.folder, train_lists, dev_lists, processes, progress
        )
    with progress:
        return train(
            method,
            config,
            train_lists,
            dev_lists,
            prior,
            progress,
            state=state,
            save=None if folder is None else lambda current: folder.save(current.to_bytes()),
            checkpoint_seconds=0.0 if checkpoints is None else checkpoints.checkpoint_seconds,
            processes=processes,
        )


def _report(
    domain: str,
    command: str,
    files: DataFiles,
    data: Dataset,
    method: Method,
    trained: TrainedModel,
    ranking: Ranking,
    progress: TrainingProgress,
    *,
    shows_dev_texts: bool,
) -> Report:
    base, num_base_parameters = method.base, sum(p.numel() for p in method.base.encoder.parameters())
    train_seconds = progress.seconds
    return Report(
        command=command,
        domain=domain,
        base=BaseIdentity(base.name, base.fingerprint),
        config=asdict(method.config),
        data_sha256=dict(files.sha256()),
        list_counts=data.list_counts(),
        parameters=Parameters(
            method.num_trained_parameters,
            num_base_parameters,
            100 * method.num_trained_parameters / num_base_parameters,
            saved_size_bytes(trained),
        ),
        cost=Cost(trained.num_steps, train_seconds, progress.num_tokens, peak_memory_bytes()),
        ranking=ranking,
        audit=data.audit,
        sets=_measure_sets(method, trained, data, ranking, shows_dev_texts=shows_dev_texts),
        calibration=CalibrationChange.of(data.dev, trained.dev_scores, ranking),
        weight_curve=weight_curve(
            scored_lists(data.dev, trained.dev_scores, ranking.rank_prior), sum(each.num_words for each in data.dev)
        ),
        losses=loss_curve([step_point(step) for step in progress.steps], PLOT_POINTS),
        dev=tuple(progress.dev_evaluations),
        cross_fit=cross_fit(
            data.dev,
            trained.evaluation_scores,
            ranking.rank_prior,
            uses_switching_margin=method.config.uses_switching_margin,
        ),
    )


def _measure_sets(
    method: Method, trained: TrainedModel, data: Dataset, ranking: Ranking, *, shows_dev_texts: bool
) -> dict[str, SetBreakdown]:
    """Returns the figures of every set. shows_dev_texts: whether dev's figures quote texts; other sets' never do."""
    sets = {"dev": break_down(data.dev, trained.dev_scores, ranking, examples=shows_dev_texts)}
    for name, lists in (("test", data.test), ("other domain", data.ood)):
        if lists:
            scores = method.scores(trained.tensors, lists)
            sets[name] = break_down(lists, scores, ranking, examples=False)
            unseen = unseen_references(lists, data.train)
            if name == "test" and 0 < len(unseen) < len(lists):
                unseen_lists, unseen_scores = [lists[i] for i in unseen], [scores[i] for i in unseen]
                sets["test, references not in train"] = break_down(unseen_lists, unseen_scores, ranking, examples=False)
    return sets

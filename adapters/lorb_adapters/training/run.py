"""One run of the trainer, start to end: read, train, tune, report, publish."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lorb.errors import InvalidInput
from lorb_adapters.base.loader import Base
from lorb_adapters.process_memory import peak_memory_bytes
from lorb_adapters.ranking import Ranking
from lorb_adapters.text import EncodedHypothesis
from lorb_adapters.training.checkpoint import TrainingState
from lorb_adapters.training.config import TrainConfig
from lorb_adapters.training.data.encoded_lists import ReferencedList, fit_rank_prior
from lorb_adapters.training.data.reading import Data, DataFiles, read_data, unseen_references
from lorb_adapters.training.encoder.layer_cache import LayerCache, Layout
from lorb_adapters.training.evaluation.calibration import CalibrationChange
from lorb_adapters.training.evaluation.diagnosis import diagnose, weight_curve
from lorb_adapters.training.evaluation.evaluation import Evaluation, evaluate
from lorb_adapters.training.evaluation.set_detail import SetDetail
from lorb_adapters.training.evaluation.tuning import scored, tune_ranking
from lorb_adapters.training.loop import CHECKPOINT_SECONDS, Trained, train
from lorb_adapters.training.methods import Lora, Method, make_method
from lorb_adapters.training.processes import Processes
from lorb_adapters.training.progress import TrainingProgress
from lorb_adapters.training.publish import TrainingResult, choose_golden_lists, make_publication, publish, size_bytes
from lorb_adapters.training.report.report import RunReport
from lorb_adapters.training.run_folder import RunFolder

__all__ = ["Keeping", "TrainingResult", "publish", "run"]

START, RESUME, RESTART = "start", "resume", "restart"


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where a run keeps what it needs to go on after a stop.

    Attributes:
        folder: checkpoints, and hidden states of frozen layers.
        begin: "start" a run; "resume" the one in the folder; "restart": throw it away.
        checkpoint_seconds: between checkpoints.
    """

    folder: Path
    begin: str = START
    checkpoint_seconds: float = CHECKPOINT_SECONDS


def run(
    domain: str,
    base: Base,
    files: DataFiles,
    config: TrainConfig,
    progress: TrainingProgress,
    *,
    command: str = "",
    golden_lists: bool = True,
    keeping: Keeping | None = None,
    processes: Processes | None = None,
) -> TrainingResult | None:
    """Trains and measures. Publishes nothing. Returns None in all processes but the first."""
    processes = processes or Processes()
    data = read_data(files, base.text_encoder, config, progress.say)
    trainable = _trainable_lists(data)
    counts = _list_counts(data, trainable)
    progress.say("  ".join(f"{count:,} {name}" for name, count in counts.items()))
    prior = fit_rank_prior(data.train)
    method = make_method(base, config)
    with ExitStack() as on_failure:
        folder = None
        if keeping is not None and processes.is_first:
            folder = on_failure.enter_context(RunFolder(keeping.folder))
            _begin(folder, keeping.begin, _identity(method, files, data, config, processes))
        state = _last_state(folder, processes)
        if state is not None:
            progress.resume(state)
        is_done = state is not None and state.is_done
        if keeping is not None and config.layer_cache and method.lowest_layer and not is_done:
            method.cache = _cache(method, keeping.folder, trainable, data.dev, processes, progress)
        with progress:
            trained = train(
                method,
                config,
                trainable,
                data.dev,
                prior,
                progress,
                state=state,
                keep=None if folder is None else lambda now: folder.save(now.to_bytes()),
                checkpoint_seconds=keeping.checkpoint_seconds if keeping else CHECKPOINT_SECONDS,
                processes=processes,
            )
            seconds = progress.seconds
        if not processes.is_first:
            return None
        method.restore(trained.tensors)
        ranking = tune_ranking(data.dev, trained.dev_scores, prior, uses_switching_margin=config.uses_switching_margin)
        sets = _evaluations(method, trained, data, ranking, examples=golden_lists)
        report = RunReport(
            command=command,
            domain=domain,
            base_name=base.name,
            base_fingerprint=base.fingerprint,
            config=config,
            data_sha256=files.sha256(),
            list_counts=counts,
            num_trained_parameters=method.num_trained,
            num_base_parameters=sum(p.numel() for p in base.encoder.parameters()),
            adapter_bytes=size_bytes(trained),
            num_steps=trained.num_steps,
            train_seconds=seconds,
            num_tokens=progress.num_tokens,
            peak_memory_bytes=peak_memory_bytes(),
            ranking=ranking,
            audit=data.audit,
            calibration=CalibrationChange.of(data.dev, trained.dev_scores, ranking),
            sets={name: evaluation for name, (evaluation, _) in sets.items()},
            details={name: detail for name, (_, detail) in sets.items()},
            weight_curve=weight_curve(
                scored(data.dev, trained.dev_scores, prior), sum(each.num_words for each in data.dev)
            ),
            steps=tuple(progress.steps),
            looks_at_dev=tuple(progress.looks_at_dev),
        )
        made = None
        if trained.weights is not None:
            golden = choose_golden_lists(method, trained, data.dev) if golden_lists else ()
            made = make_publication(report, trained.weights, data, golden)
        on_failure.pop_all()
    return TrainingResult(report, made, method, trained, folder)


def _identity(
    method: Method, files: DataFiles, data: Data, config: TrainConfig, processes: Processes
) -> dict[str, Any]:
    """All that decides the result; what differs from it cannot be resumed."""
    return {
        "config": asdict(config),
        "data": {**files.identity(), **data.identity()},
        "base": method.base.fingerprint,
        "device": method.base.device.type,
        "dtype": str(method.dtype),
        "threads": torch.get_num_threads(),
        "processes": processes.size,
        "torch": torch.__version__,
    }


def _begin(folder: RunFolder, begin: str, identity: Mapping[str, Any]) -> None:
    {START: folder.start, RESUME: folder.resume, RESTART: folder.restart}[begin](identity)


def _last_state(folder: RunFolder | None, processes: Processes) -> TrainingState | None:
    """Where the run stood; None at its beginning."""
    content = processes.share(b"" if folder is None else folder.load())
    return TrainingState.from_bytes(content, "the run's checkpoint") if content else None


def _cache(
    method: Method,
    folder: Path,
    trainable: Sequence[ReferencedList],
    dev: Sequence[ReferencedList],
    processes: Processes,
    progress: TrainingProgress,
) -> LayerCache:
    """What the frozen layers give, on disk; the first process computes it where it is not there."""
    lists = [each.with_reference() for each in trainable]
    if not isinstance(method, Lora):  # which scores dev as the server does, from the first layer on
        lists += dev
    layout = Layout.of(
        f"{method.base.fingerprint} {method.lowest_layer} {method.config.head}",
        [row for each in lists for row in each.rows],
        method.base.hidden_size,
        method.dtype if method.caches_tokens else torch.float32,
        per_token=method.caches_tokens,
    )
    if processes.is_first and not LayerCache.is_made(folder, layout):
        progress.say(
            f"computing the frozen layers of {len(layout.rows):,} rows once: {layout.size_bytes / 2**20:,.0f} MiB "
            f"in {folder}"
        )
        num_done = 0

        def compute(rows: Sequence[EncodedHypothesis]) -> Tensor:
            nonlocal num_done
            vectors = method.below(rows)
            num_done += len(rows)
            progress.preparing("frozen layers", num_done, len(layout.rows))
            return vectors

        LayerCache.make(folder, layout, compute)
    processes.wait()
    if not LayerCache.is_made(folder, layout):
        raise InvalidInput(
            f"process {processes.rank} does not find in {folder} what process 0 wrote there: give a --run-dir that all "
            "machines share, or --no-layer-cache",
            field="run-dir",
        )
    return LayerCache(folder, layout)


def _trainable_lists(data: Data) -> list[ReferencedList]:
    trainable = [each for each in data.train if each.has_contrast]
    if not trainable:
        raise InvalidInput(
            "no train list has hypotheses that differ in word errors: there is nothing to learn from",
            field="train",
        )
    return trainable


def _list_counts(data: Data, trainable: Sequence[ReferencedList]) -> dict[str, int]:
    copies = sum(len(each.nbest.hypotheses) - len(each.distinct) for each in data.train)
    return {
        "train": len(data.train),
        "dropped from train, held out elsewhere": data.num_overlapping,
        "without contrast": len(data.train) - len(trainable),
        "trained on": len(trainable),
        "copies merged": copies,
        "dev": len(data.dev),
        "test": len(data.test),
        "other domain": len(data.ood),
    }


def _evaluations(
    method: Method, trained: Trained, data: Data, ranking: Ranking, *, examples: bool
) -> dict[str, tuple[Evaluation, SetDetail]]:
    """Every set, measured. examples: dev's may be shown; texts of the other sets never are."""

    def measured(
        lists: Sequence[ReferencedList], scores: Sequence[Sequence[float]], *, examples: bool = False
    ) -> tuple[Evaluation, SetDetail]:
        evaluation = evaluate(lists, scores, ranking)
        return evaluation, diagnose(lists, scores, ranking, evaluation, examples=examples)

    sets = {"dev": measured(data.dev, trained.dev_scores, examples=examples)}
    for name, lists in (("test", data.test), ("other domain", data.ood)):
        if lists:
            scores = method.scores(trained.tensors, lists)
            sets[name] = measured(lists, scores)
            unseen = unseen_references(lists, data.train)
            if name == "test" and 0 < len(unseen) < len(lists):
                sets["test, references not in train"] = measured(
                    [lists[i] for i in unseen], [scores[i] for i in unseen]
                )
    return sets

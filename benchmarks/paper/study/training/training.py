"""A cell that trains with flags of lorb-train-adapter and measures on dev sets."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.harness.cell import CellContext
from study.harness.json_lines import write_whole
from study.lists.sets import Lists

if TYPE_CHECKING:  # torch takes seconds to import, and --plan does not need it
    from torch import Tensor

    from lorb_adapters.training.config import TrainConfig
    from lorb_adapters.training.data.encoded_lists import EncodedList
    from lorb_adapters.training.publish import TrainingResult
    from lorb_adapters.training.run_folder import CheckpointOptions
    from study.training.measured_progress import MeasuredProgress

TENSORS, RANKING = "tensors.safetensors", "ranking.json"
_ROWS = 64  # in a pass
_CHECKPOINT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Training:
    """Trains on a cut of a domain's train lists and measures on dev sets.

    Attributes:
        domain: domain to train for.
        base: value of --base.
        flags: further flags of lorb-train-adapter, method and seed included.
        train, dev: the lists.
        elsewhere: dev lists of other domains, which the trained model also rescores.
        keeps: whether tensors.safetensors stays in the scratch folder.
        checkpoints: whether a killed run continues from a checkpoint.
    """

    domain: str
    base: str
    flags: tuple[str, ...]
    train: Lists
    dev: Lists
    elsewhere: tuple[Lists, ...] = ()
    keeps: bool = False
    checkpoints: bool = True

    def settings(self) -> dict[str, Any]:
        """The settings that decide the result: all but `keeps` and `checkpoints`."""
        return {name: value for name, value in asdict(self).items() if name not in ("keeps", "checkpoints")}

    def command(self) -> str:
        """The command that does the same by hand."""
        files = [str(lists.path(Path("SETS"), make=False)) for lists in (self.train, self.dev)]
        return shlex.join(["lorb-train-adapter", *self._arguments(*files), *self.flags, "--dry-run"])

    def run(self, context: CellContext) -> dict[str, Any]:
        """Runs the cell and returns its figures."""
        from lorb_adapters.base.loader import load_base
        from lorb_adapters.process_memory import keep_freed_pages
        from lorb_adapters.training.cli.arguments import parser
        from lorb_adapters.training.cli.train_config import train_config
        from lorb_adapters.training.data.files import DataFiles
        from lorb_adapters.training.run import run
        from lorb_adapters.training.run_folder import FINISHED
        from study.training.measured_progress import MeasuredProgress
        from study.training.memory import MemoryMark

        keep_freed_pages()
        train, dev = (lists.path(context.sets) for lists in (self.train, self.dev))
        arguments = [*self._arguments(str(train), str(dev)), *self.flags]
        config = train_config(parser().parse_args(arguments))
        base = load_base(self.base, device=context.device)
        memory = MemoryMark(context.device)
        progress = MeasuredProgress(memory, by_clock=context.device != "cpu")
        finished = run(
            self.domain, base, DataFiles((train,), (dev,)), config, progress,
            command=self.command(), golden_lists=False, checkpoints=self._keeping(context, config),
        )  # fmt: skip
        assert finished is not None, "there is one process"
        figures = run_figures(finished, progress) | self._sets(finished, context)
        if self.keeps:
            keep(finished, context.scratch)
        if finished.folder is not None:
            with finished.folder as folder:
                folder.end(FINISHED, "a cell of the study")
        return figures

    def _arguments(self, train: str, dev: str) -> list[str]:
        return ["--domain", self.domain, "--base", self.base, "--train", train, "--dev", dev]

    def _keeping(self, context: CellContext, config: "TrainConfig") -> "CheckpointOptions | None":
        """Checkpoint options: a killed run with the same settings continues, another one is discarded.

        A run that caches the output of frozen layers needs a folder even without checkpoints.
        """
        from lorb_adapters.training.run_folder import RESTART, RESUME, TRAINING, CheckpointOptions, RunFolder

        caches = config.method == "head" or bool(config.lora.layers and min(config.lora.layers))
        if not self.checkpoints and not caches:
            return None
        folder, identity = context.scratch / "run", context.scratch / "settings.json"
        settings = json.dumps(self.settings() | {"device": context.device, "threads": context.threads}, sort_keys=True)
        is_same = identity.exists() and identity.read_text(encoding="utf-8") == settings
        write_whole(identity, settings)
        continues = is_same and RunFolder.status(folder) == TRAINING
        return CheckpointOptions(folder, RESUME if continues else RESTART, checkpoint_seconds=_CHECKPOINT_SECONDS)

    def _sets(self, finished: "TrainingResult", context: CellContext) -> dict[str, Any]:
        """Figures of the own dev set with isotropy, and of other dev sets with the own weight and one fitted there."""
        from lorb_adapters.training.evaluation.evaluation import evaluate
        from study.lists.error_counts import SetCounts, cross_fitted_errors, set_figures
        from study.training.isotropy import isotropy

        figures: dict[str, Any] = {"elsewhere": {}}
        method, ranking = finished.method, finished.report.ranking
        for cut in (self.dev, *self.elsewhere):
            lists = read_lists(cut, finished, context)
            counts = SetCounts.of(cut.name, [each.num_words for each in lists], [each.errors for each in lists])
            counts.write(context.results)
            is_own = cut == self.dev
            scores = finished.trained.dev_scores if is_own else method.scores(finished.trained.tensors, lists)
            fitted = set_figures(counts, cross_fitted_errors(lists, scores, ranking.rank_prior))
            if is_own:
                bare = cross_fitted_errors(lists, scores, ranking.rank_prior, margin=False)
                figures |= {"dev": fitted, "dev_without_margin": set_figures(counts, bare)}
                figures["isotropy"] = isotropy(first_features(finished, lists))
                continue
            evaluation = evaluate(lists, scores, ranking)
            with_own_weight = set_figures(counts, evaluation.rescored.tolist())
            figures["elsewhere"][cut.domain] = {"own_weight": with_own_weight, "weight_fitted_there": fitted}
        return figures


def run_figures(finished: "TrainingResult", progress: "MeasuredProgress") -> dict[str, Any]:
    """The costs of a run and its evaluations."""
    report = finished.report
    best = next(each for each in progress.measured_evaluations if each.step == report.cost.steps)
    return {
        "parameters": {
            "trained": report.parameters.trained,
            "percent": round(report.parameters.trained_percent, 4),
            "bytes": report.parameters.adapter_bytes,
        },
        "lists": {"train": report.list_counts["train"]},
        "tokens_per_cpu_second": round(progress.tokens_per_cpu_second, 1),
        "best": {"wer": best.wer, "minutes": progress.minutes(best)},
        "evaluations": [
            {"wer": each.wer, "tokens": each.tokens, "minutes": progress.minutes(each)}
            for each in progress.measured_evaluations
        ],
        "memory": {"peak_beyond_bytes": progress.peak_bytes},
        "resumed": finished.was_resumed,
    }


def read_lists(cut: Lists, finished: "TrainingResult", context: CellContext) -> "list[EncodedList]":
    """The lists of a cut, encoded with the run's configuration."""
    from lorb.formats import read_nbest_lists
    from lorb_adapters.training.data.encoded_lists import encode_lists

    config = finished.method.config
    lists = read_nbest_lists([cut.path(context.sets)], require_references=True)
    encoder = finished.method.base.text_encoder
    return encode_lists(lists, encoder, config.normalization, uses_context=config.uses_context)


def first_features(finished: "TrainingResult", lists: "Sequence[EncodedList]") -> "Tensor":
    """The features of each list's first hypothesis, [lists, hidden]."""
    import torch

    rows = sorted((each.rows[0] for each in lists), key=lambda row: row.num_tokens)
    with torch.inference_mode():
        parts = [finished.method.forward(rows[i : i + _ROWS], None)[0] for i in range(0, len(rows), _ROWS)]
    return torch.cat(parts)


def keep(finished: "TrainingResult", scratch: Path) -> None:
    """Keeps the trained tensors and the ranking."""
    from safetensors.torch import save_file

    partial = scratch / f".{TENSORS}"
    save_file({name: tensor.contiguous() for name, tensor in finished.trained.tensors.items()}, partial)
    partial.replace(scratch / TENSORS)
    write_whole(scratch / RANKING, json.dumps(finished.report.ranking.to_json(), indent=1))

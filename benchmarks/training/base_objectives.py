"""Compares the two objectives of lorb-build-base at equal cost: dev WER of each base without adaptation.

    python benchmarks/training/base_objectives.py --text books.txt.gz --lists runs/librispeech

Each run has a process of its own, one thread, and the same text, lists and seed. Cost is the processor time of the
training stages, because it does not depend on other load. The budgets in sentences take about seven minutes of one
core; the results have the processor time of each run. The folder --lists has train.jsonl.gz and dev.jsonl.gz of
benchmarks/prepare_librispeech.py; no test set is read.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks
import torch

from lorb_adapters.base.loader import load_base
from lorb_adapters.pretraining.build import build
from lorb_adapters.pretraining.config import PLL, REPLACED, BuildConfig
from lorb_adapters.pretraining.corpus.files import BuildFiles
from lorb_adapters.process_memory import keep_freed_pages
from lorb_adapters.training.progress import TrainingProgress
from lorb_adapters.training.run_folder import CheckpointOptions
from results_file import RESULTS, write_results

OUTPUT = RESULTS / "base_objectives.jsonl"
COMMON = {"learning_rate": 5e-4, "sentences_per_step": 128, "freezes_embeddings": True}
BUDGETS = {
    REPLACED: {"num_sentences": 64_000},
    PLL: {"num_sentences": 29_000, "num_teacher_sentences": 3_000, "num_distillation_sentences": 17_000},
}


class ProcessorProgress(TrainingProgress):
    """Counts processor seconds instead of wall-clock seconds."""

    def __enter__(self) -> "ProcessorProgress":
        self._processor_started = time.process_time()
        super().__enter__()
        return self

    @property
    def seconds(self) -> float:
        """Processor seconds since the training started."""
        return time.process_time() - self._processor_started


def run(base: str, text: Path, lists: Path, share: float, values: dict[str, Any]) -> dict[str, Any]:
    """Makes and measures a base; returns its report."""
    keep_freed_pages()
    torch.set_num_threads(1)
    budgets = {
        name: max(1, round(share * value)) if name.startswith("num_") else value for name, value in values.items()
    }
    files = BuildFiles((text,), (lists / "train.jsonl.gz",), (lists / "dev.jsonl.gz",))
    with tempfile.TemporaryDirectory() as folder:
        built = build(
            load_base(base),
            files,
            BuildConfig(**COMMON, **budgets),
            ProcessorProgress(),
            CheckpointOptions(Path(folder)),
        )
        built.folder.close()
    return dict(json.loads(built.report.to_json()))


def main() -> None:
    """Runs both objectives and writes their results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="minilm")
    parser.add_argument("--text", type=Path, required=True, help="text with one sentence on each line")
    parser.add_argument("--lists", type=Path, required=True, help="folder with train.jsonl.gz and dev.jsonl.gz")
    parser.add_argument("--share", type=float, default=1.0, help="share of each budget in sentences")
    parser.add_argument(
        "--only", choices=tuple(BUDGETS), help="run only this objective; the other's results stay in the file"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args()
    for objective, budgets in BUDGETS.items():
        if args.only not in (None, objective):
            continue
        spawned = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=spawned) as pool:
            values = {"objective": objective, **budgets}
            report = pool.submit(run, args.base, args.text, args.lists, args.share, values).result()
        config, cost = report["config"], report["cost"]
        line = {
            "objective": objective,
            "base": args.base,
            "text": args.text.name,
            "threads": 1,
            "precision": config["precision"],
            "budgets": {name: config[name] for name in budgets},
            "core_seconds": {name: round(seconds, 1) for name, seconds in cost["stage_seconds"].items()},
            "peak_memory_mib": cost["peak_memory_bytes"] >> 20,
            "dev": report["dev"],
            **{name: report[name] for name in ("detection", "fidelity") if name in report},
        }
        print(json.dumps(line, indent=2))
        write_results(args.output, [line], ("objective", "base"))


if __name__ == "__main__":
    main()

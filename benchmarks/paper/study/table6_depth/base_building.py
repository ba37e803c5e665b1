"""A cell that makes a base from the lowest layers of another one with lorb-build-base."""

import fcntl
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from study.harness.cell import CellContext
from study.harness.command import ROOT
from study.lists.sets import TRAIN, Lists

BASE = "base"  # the folder in the cell's scratch folder
TEXT = "books_librispeech_domain.txt.gz"


@dataclass(frozen=True, slots=True)
class BaseBuilding:
    """Truncates a base, trains it on book sentences, and measures it on dev lists.

    Attributes:
        parent: base to truncate.
        num_layers: number of lowest layers to keep.
        num_sentences: number of sentences to train on.
        dev: lists to measure on, excluded from training.
        seed: seed of the order of sentences and of their corruptions.
    """

    parent: str
    num_layers: int
    num_sentences: int
    dev: Lists
    seed: int = 0

    def settings(self) -> dict[str, Any]:
        """The settings that decide the result."""
        return {"building": asdict(self) | {"text": TEXT}}

    def command(self) -> str:
        """The command that does the same by hand."""
        sets = Path("SETS")
        return " ".join(["lorb-build-base", *self._arguments(CellContext(Path("SCRATCH"), sets, sets), f"TEXT/{TEXT}")])

    def run(self, context: CellContext) -> dict[str, Any]:
        """Makes the base; returns its size and figures of its report."""
        from lorb_adapters.base.loader import load_base

        folder = self.folder(context)
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        encoder = load_base(str(folder)).encoder
        counts = {name: parameter.numel() for name, parameter in encoder.named_parameters()}
        layers = sum(count for name, count in counts.items() if name.startswith("encoder."))
        return {
            "parameters": {"all": sum(counts.values()), "layers": layers},
            "trained_on": {"parent": self.parent, "sentences": self.num_sentences},
            "cost": {"seconds": report["cost"]["seconds"]},
            "dev": report["dev"],
        }

    def folder(self, context: CellContext) -> Path:
        """The base's folder. Makes a missing base, or continues a build that was killed.

        If several cells need the base at once, one makes it and the others wait.
        """
        from lorb_adapters.pretraining.cli import main
        from lorb_adapters.training.run_folder import TRAINING, RunFolder

        folder = context.scratch / BASE
        context.scratch.mkdir(parents=True, exist_ok=True)
        with (context.scratch / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                arguments = self._arguments(context, str(book_text(context.sets)))
                begin = "--resume" if RunFolder.status(context.scratch / "run") == TRAINING else "--restart"
                settings = ["--device", context.device, "--threads", str(context.threads), "--quiet"]
                status = main([*arguments, begin, *settings])
                if status != 0:
                    raise RuntimeError(f"lorb-build-base ended with status {status}")
        return folder

    def _arguments(self, context: CellContext, text: str) -> list[str]:
        make = context.sets.exists()
        train, dev = (lists.path(context.sets, make=make) for lists in (Lists("librispeech", TRAIN), self.dev))
        return [
            "--text", text, "--confusions", str(train), "--dev", str(dev), "--base", self.parent,
            "--layers", str(self.num_layers), "--sentences", str(self.num_sentences), "--freeze-embeddings",
            "--seed", str(self.seed), "--output-base", str(context.scratch / BASE),
            "--run-dir", str(context.scratch / "run"),
        ]  # fmt: skip


def book_text(sets: Path) -> Path:
    """The file of book sentences. Raises FileNotFoundError with the folder to put it into."""
    places = [sets / "text" / TEXT, ROOT.parent / "shared" / "data" / "text" / TEXT]
    for path in places:
        if path.exists():
            return path
    raise FileNotFoundError(f"no {TEXT}: put it into {places[0].parent}")

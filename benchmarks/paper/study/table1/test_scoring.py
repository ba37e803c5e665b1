"""Scores a test set with a trained model of Table 1, without tuning on it."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from study.harness.cell import CellContext
from study.lists.sets import Lists
from study.training.training import RANKING, TENSORS


@dataclass(frozen=True, slots=True)
class TestScoring:
    """Rescores a test set with the weight and margin tuned on dev.

    Attributes:
        test: the lists to rescore.
        trained: "table/cell" of the training, whose scratch folder has the trained tensors.
        flags, base: of the training.
    """

    test: Lists
    trained: str
    flags: tuple[str, ...]
    base: str

    def settings(self) -> dict[str, Any]:
        """The settings that decide the result."""
        return {"test_scoring": asdict(self)}

    def command(self) -> str:
        """The command that does the same by hand."""
        return f"python benchmarks/paper/table1.py --test --only {self.trained.partition('/')[2]}"

    def run(self, context: CellContext) -> dict[str, Any]:
        """Runs the cell and returns its figures."""
        from safetensors.torch import load_file

        from lorb.formats import read_nbest_lists
        from lorb_adapters.base.loader import load_base
        from lorb_adapters.ranking import Ranking
        from lorb_adapters.training.cli.arguments import parser
        from lorb_adapters.training.cli.train_config import train_config
        from lorb_adapters.training.data.encoded_lists import encode_lists
        from lorb_adapters.training.evaluation.evaluation import evaluate
        from lorb_adapters.training.methods import make_method
        from study.lists.error_counts import SetCounts, set_figures

        folder = context.scratch.parents[1] / self.trained
        if not (folder / TENSORS).exists():
            raise FileNotFoundError(
                f"{folder / TENSORS} is missing: repeat the training with --again and the name of its cell"
            )
        files = ["--domain", self.test.domain, "--train", "-", "--dev", "-"]
        config = train_config(parser().parse_args([*files, *self.flags]))
        method = make_method(load_base(self.base, device=context.device), config)
        read = read_nbest_lists([self.test.path(context.sets)], require_references=True)
        lists = encode_lists(read, method.base.text_encoder, config.normalization, uses_context=config.uses_context)
        counts = SetCounts.of(self.test.name, [each.num_words for each in lists], [each.errors for each in lists])
        counts.write(context.results)
        scores = method.scores(load_file(folder / TENSORS, context.device), lists)
        ranking = Ranking.from_json(json.loads((folder / RANKING).read_text(encoding="utf-8")))
        here = evaluate(lists, scores, ranking)
        return {"test": set_figures(counts, here.rescored.tolist())}

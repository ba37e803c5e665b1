"""A trained model of Table 1 on a test set, as a server would rescore it: nothing is tuned there."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from study.harness.cell import Place
from study.lists.sets import Lists
from study.training.training import RANKING, TENSORS


@dataclass(frozen=True, slots=True)
class TestScoring:
    """Rescores.

    Attributes:
        test: lists.
        trained: the table and the cell whose scratch folder has the trained values.
        flags, base: of its training.
    """

    test: Lists
    trained: str
    flags: tuple[str, ...]
    base: str

    def settings(self) -> dict[str, Any]:
        """As Work has it."""
        return {"test_scoring": asdict(self)}

    def command(self) -> str:
        """As Work has it."""
        return f"python benchmarks/paper/table1.py --test --only {self.trained.partition('/')[2]}"

    def run(self, place: Place) -> dict[str, Any]:
        """As Work has it."""
        from safetensors.torch import load_file

        from lorb.formats import read_nbest_lists
        from lorb_adapters.base.loader import load_base
        from lorb_adapters.ranking import Ranking
        from lorb_adapters.training.cli.arguments import parser, train_config
        from lorb_adapters.training.data.encoded_lists import prepare
        from lorb_adapters.training.evaluation.evaluation import evaluate
        from lorb_adapters.training.methods import make_method
        from study.lists.error_counts import SetCounts, set_figures

        folder = place.scratch.parents[1] / self.trained
        if not (folder / TENSORS).exists():
            raise FileNotFoundError(
                f"{folder / TENSORS} is not there: --again with the name of its cell trains it anew"
            )
        files = ["--domain", self.test.domain, "--train", "-", "--dev", "-"]
        config = train_config(parser().parse_args([*files, *self.flags]))
        method = make_method(load_base(self.base, device=place.device), config)
        read = read_nbest_lists([self.test.path(place.sets)], require_references=True)
        lists = prepare(read, method.base.text_encoder, config.normalization, uses_context=config.uses_context)
        counts = SetCounts.of(self.test.name, [each.num_words for each in lists], [each.errors for each in lists])
        counts.write(place.results)
        scores = method.scores(load_file(folder / TENSORS, place.device), lists)
        ranking = Ranking.from_json(json.loads((folder / RANKING).read_text(encoding="utf-8")))
        here = evaluate(lists, scores, ranking)
        return {"test": set_figures(counts, here.rescored.tolist())}

"""Baselines of Table 1 without adapter training: a trigram of the train references, and the base's own head."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from study.harness.cell import CellContext
from study.lists.sets import Lists

if TYPE_CHECKING:
    from lorb.nbest import NBest
    from study.table1.trigram import Trigram


@dataclass(frozen=True, slots=True)
class TrigramRescoring:
    """Rescores with a trigram of the train references; the weight is tuned on the other half of each set."""

    train: Lists
    sets: tuple[Lists, ...]

    def settings(self) -> dict[str, Any]:
        """The settings that decide the result."""
        return {"trigram": asdict(self)}

    def command(self) -> str:
        """The command that does the same by hand."""
        return f"study.table1.trigram of {self.train.name}"

    def run(self, context: CellContext) -> dict[str, Any]:
        """Runs the cell and returns its figures."""
        from study.table1.trigram import Trigram

        references = [(each.reference or "").lower().split() for each in _read(self.train, context)]
        trigram = Trigram(references)
        figures = {cut.domain: _rescored(cut, trigram, context) for cut in self.sets}
        own = self.train.domain
        return {
            "dev": figures[own],
            "elsewhere": {name: {"weight_fitted_there": each} for name, each in figures.items() if name != own},
            "parameters": {"trained": 0, "percent": 0.0, "bytes": 0},
        }


@dataclass(frozen=True, slots=True)
class Untrained:
    """Rescores with the base's own head; the weight is tuned on the other half of dev."""

    base: str
    dev: Lists

    def settings(self) -> dict[str, Any]:
        """The settings that decide the result."""
        return {"untrained": asdict(self)}

    def command(self) -> str:
        """The command that does the same by hand."""
        return f"study.table1.baselines of {self.base} on {self.dev.name}"

    def run(self, context: CellContext) -> dict[str, Any]:
        """Runs the cell and returns its figures."""
        from lorb_adapters.base.loader import load_base
        from lorb_adapters.text import TextNormalization
        from lorb_adapters.training.config import TrainConfig
        from lorb_adapters.training.data.encoded_lists import encode_lists
        from lorb_adapters.training.data.first_pass import fit_rank_prior
        from lorb_adapters.training.methods import make_method
        from study.lists.error_counts import SetCounts, cross_fitted_errors, set_figures

        method = make_method(load_base(self.base, device=context.device), TrainConfig(method="head"))
        encoder = method.base.text_encoder
        lists = encode_lists(_read(self.dev, context), encoder, TextNormalization(), uses_context=False)
        counts = SetCounts.of(self.dev.name, [each.num_words for each in lists], [each.errors for each in lists])
        counts.write(context.results)
        errors = cross_fitted_errors(lists, method.scores(method.snapshot(), lists), fit_rank_prior(lists))
        return {"dev": set_figures(counts, errors), "parameters": {"trained": 0, "percent": 0.0, "bytes": 0}}


def _read(cut: Lists, context: CellContext) -> "Sequence[NBest]":
    from lorb.formats import read_nbest_lists

    return read_nbest_lists([cut.path(context.sets)], require_references=True)


def _rescored(cut: Lists, trigram: "Trigram", context: CellContext) -> dict[str, Any]:
    from lorb.word_errors import word_errors
    from lorb_adapters.training.evaluation.tuning import ScoredList
    from study.lists.error_counts import SetCounts, cross_fitted, half, set_figures

    scored, halves, words = [], [], []
    for each in _read(cut, context):
        distinct, reference = each.distinct(), each.reference or ""
        texts = [hypothesis.transcript for hypothesis in distinct]
        first_pass = [hypothesis.first_pass_score or 0.0 for hypothesis in distinct]
        rescoring = [trigram.log_probability(text.lower().split()) for text in texts]
        scored.append(ScoredList(first_pass, rescoring, [word_errors(reference, text) for text in texts]))
        halves.append(half(each.id))
        words.append(len(reference.split()))
    counts = SetCounts.of(cut.name, words, [each.errors for each in scored])
    counts.write(context.results)
    return set_figures(counts, cross_fitted(scored, halves))

"""A cell of Table 8 that compares LoRA and full fine-tuning from the same start on the same data."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from study.harness.cell import CellContext
from study.lists.sets import Lists
from study.training.training import Training

if TYPE_CHECKING:  # torch takes seconds to import
    from lorb_adapters.base.loader import Base
    from lorb_adapters.training.data.encoded_lists import EncodedList
    from study.table8_lora_vs_full.trained import Trained
    from study.table8_lora_vs_full.word_changes import WordError

NUM_ROWS = 100  # first-pass texts whose hidden states and attention maps are compared


@dataclass(frozen=True, slots=True)
class Comparison:
    """Trains with LoRA and full fine-tuning, and compares the models.

    Attributes:
        lora, full: the two trainings, with the same base, lists and seed.
        dev: lists to compare them on.
    """

    lora: Training
    full: Training
    dev: Lists

    def settings(self) -> dict[str, Any]:
        """The settings that decide the result."""
        runs = {"lora": self.lora.settings(), "full": self.full.settings()}
        return {"compared": runs, "dev": asdict(self.dev), "rows": NUM_ROWS}

    def command(self) -> str:
        """The command that does the same by hand."""
        return f"{self.lora.command()} && {self.full.command()}"

    def trained(self, context: CellContext) -> "tuple[Trained, Trained]":
        """Both trained models, from the scratch folder or trained there."""
        from study.table8_lora_vs_full.trained import trained

        runs = [
            trained(training, replace(context, scratch=context.scratch / name))
            for name, training in (("lora", self.lora), ("full", self.full))
        ]
        return runs[0], runs[1]

    def run(self, context: CellContext) -> dict[str, Any]:
        """Runs the cell and returns its figures."""
        from lorb_adapters.base.loader import load_base

        lora, full = self.trained(context)
        base = load_base(self.lora.base)
        tuned = replace(base, encoder=copy.deepcopy(base.encoder))
        full.put_into(tuned.encoder)
        lists = _lists(self.dev, context, base, lora)
        return {
            "runs": {"lora": _cost(lora), "full": _cost(full)},
            "weights": _weights(base, tuned, lora),
            "activations": _activations(base, tuned, lora, lists),
            "lists": _choices(base, tuned, lora, full, lists, self._word_counts(context)),
        }

    def _word_counts(self, context: CellContext) -> Mapping[str, int]:
        from study.lists.sets import read
        from study.table8_lora_vs_full.word_classes import word_counts

        return word_counts(record["ref"] for record in read(self.lora.train.path(context.sets)))


def _lists(cut: Lists, context: CellContext, base: "Base", run: "Trained") -> "list[EncodedList]":
    from lorb.formats import read_nbest_lists
    from lorb_adapters.training.data.encoded_lists import encode_lists

    nbests = read_nbest_lists([cut.path(context.sets)], require_references=True)
    return encode_lists(nbests, base.text_encoder, run.config.normalization, uses_context=False)


def _cost(run: "Trained") -> dict[str, Any]:
    return {"parameters": {"trained": run.figures["parameters"]["trained"]}, "wer": run.figures["dev"]["wer"]}


def _weights(base: "Base", tuned: "Base", lora: "Trained") -> dict[str, Any]:
    from study.table8_lora_vs_full.layers import overlap, spectra
    from study.table8_lora_vs_full.updates import adapter_updates, differences, linear_weights, outside_norm

    before = linear_weights(base.encoder)
    updates = {
        "lora": adapter_updates(lora.adapter()),
        "full": differences(linear_weights(tuned.encoder), before),
    }
    return {
        "spectra": {name: spectra(of_run, before) for name, of_run in updates.items()},
        "overlap": overlap(updates["lora"], updates["full"]),
        "outside_linear_layers": outside_norm(tuned.encoder, base.encoder),
    }


def _activations(
    base: "Base", tuned: "Base", lora: "Trained", lists: "Sequence[EncodedList]"
) -> dict[str, dict[str, list[float]]]:
    from study.table8_lora_vs_full.activations import activations, plain_encoder, updated
    from study.table8_lora_vs_full.layers import attention_change, cka_by_layer
    from study.table8_lora_vs_full.updates import adapter_updates

    rows = [each.rows[0] for each in lists[:: max(1, len(lists) // NUM_ROWS)][:NUM_ROWS]]
    seen = {
        "base": activations(plain_encoder(base), rows),
        "lora": activations(updated(plain_encoder(base), adapter_updates(lora.adapter())), rows),
        "full": activations(plain_encoder(tuned), rows),
    }
    pairs = (("base", "lora"), ("base", "full"), ("lora", "full"))
    return {
        "cka": {f"{one}-{other}": cka_by_layer(seen[one], seen[other]) for one, other in pairs},
        "attention_bits": {f"{one}-{other}": attention_change(seen[one], seen[other]) for one, other in pairs},
    }


def _choices(
    base: "Base",
    tuned: "Base",
    lora: "Trained",
    full: "Trained",
    lists: "Sequence[EncodedList]",
    counts: Mapping[str, int],
) -> dict[str, Any]:
    from lorb_adapters.model import RescoringModel
    from lorb_adapters.training.methods.scoring import score_lists
    from study.lists.error_counts import packed
    from study.table8_lora_vs_full.choices import choices

    figures: dict[str, Any] = {
        "words": sum(each.num_words for each in lists),
        "choice": packed([len(each.rows) > 1 for each in lists]),
        "first_pass": packed([each.errors[0] for each in lists]),
    }
    for name, model, weights, run in (
        ("lora", RescoringModel(base), lora.adapter(), lora),
        ("full", RescoringModel(tuned), full.head_alone(), full),
    ):
        chosen = choices(lists, list(score_lists(model, weights, lists)), run.ranking.rank_prior)
        figures[name] = {
            "positions": packed(chosen.positions),
            "errors": packed(chosen.errors),
            "words_fixed_and_broken": _balances(chosen.utterances(lists), counts),
        }
    return figures


def _balances(
    utterances: Sequence[tuple[str, str, str]], counts: Mapping[str, int]
) -> dict[str, dict[str, dict[str, int]]]:
    from study.table8_lora_vs_full.word_changes import balances
    from study.table8_lora_vs_full.word_classes import frequency_class, word_class

    classes: dict[str, Callable[[WordError], str]] = {
        "kind": lambda error: error.kind,
        "part": lambda error: word_class(error.word),
        "frequency": lambda error: frequency_class(error.word, counts),
    }
    return {
        name: {of: asdict(balance) for of, balance in balances(utterances, class_of).items()}
        for name, class_of in classes.items()
    }

"""Reads a trained model of Table 8 from the scratch folder, or trains it there."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from lorb_adapters.lora.config import LoraConfig
from lorb_adapters.lora.head import HeadWeights
from lorb_adapters.lora.weights import AdapterWeights
from lorb_adapters.ranking import Ranking
from lorb_adapters.training.cli.arguments import parser
from lorb_adapters.training.cli.train_config import train_config
from lorb_adapters.training.config import TrainConfig
from study.harness.cell import CellContext
from study.harness.json_lines import write_whole
from study.training.training import RANKING, TENSORS, Training

FIGURES, _DONE_WITH = "figures.json", "done_with.json"
_HEAD = "head."


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained model.

    Attributes:
        config: the training's configuration.
        tensors: trained tensors by name, including the head's.
        ranking: the ranking tuned on dev.
        figures: the training's figures.
    """

    config: TrainConfig
    tensors: Mapping[str, Tensor]
    ranking: Ranking
    figures: Mapping[str, Any]

    @property
    def head(self) -> HeadWeights:
        """The score head."""
        return HeadWeights(self.config.head, self.tensors[f"{_HEAD}weight"], self.tensors[f"{_HEAD}bias"])

    def adapter(self) -> AdapterWeights:
        """The adapter of a LoRA training."""
        sites = [name.removesuffix(".A") for name in self.tensors if name.endswith(".A")]
        lora = {site: (self.tensors[f"{site}.A"], self.tensors[f"{site}.B"]) for site in sites}
        return AdapterWeights(self.config.lora, lora, self.head)

    def head_alone(self) -> AdapterWeights:
        """The head of a full fine-tuning, without LoRA."""
        return AdapterWeights(LoraConfig(), {}, self.head)

    @torch.no_grad()
    def put_into(self, encoder: nn.Module) -> None:
        """Copies the encoder of a full fine-tuning into `encoder`."""
        for name, parameter in encoder.named_parameters():
            parameter.copy_(self.tensors[name])


def trained(training: Training, context: CellContext) -> Trained:
    """The model in the scratch folder; trains it if there is none with the same settings."""
    figures, done_with = context.scratch / FIGURES, context.scratch / _DONE_WITH
    settings = json.dumps(training.settings(), sort_keys=True)
    if not (figures.exists() and done_with.exists() and done_with.read_text(encoding="utf-8") == settings):
        done_with.unlink(missing_ok=True)
        context.scratch.mkdir(parents=True, exist_ok=True)
        write_whole(figures, json.dumps(replace(training, keeps=True).run(context)))
        write_whole(done_with, settings)
    return _read(training, context.scratch)


def _read(training: Training, folder: Path) -> Trained:
    arguments = ["--domain", training.domain, "--train", "-", "--dev", "-", "--base", training.base, *training.flags]
    return Trained(
        config=train_config(parser().parse_args(arguments)),
        tensors=load_file(folder / TENSORS),
        ranking=Ranking.from_json(json.loads((folder / RANKING).read_text(encoding="utf-8"))),
        figures=json.loads((folder / FIGURES).read_text(encoding="utf-8")),
    )

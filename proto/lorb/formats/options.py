"""What a file of N-best lists does not say about itself, and its reader must be told."""

import math
from dataclasses import dataclass
from pathlib import Path

from lorb.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class FormatOptions:
    """Options of the readers; each concerns one format, except the references. Raises InvalidInput.

    Attributes:
        reference_texts: files of references by id, Kaldi's `text` or trn; they replace what the lists have.
        acoustic_scale: Kaldi: what acoustic costs are multiplied by before graph costs are added.
        acoustic_costs: Kaldi: name of the file of acoustic costs, beside the file of words.
        graph_costs: Kaldi: name of the file of graph costs, language model included, beside the file of words.
        nemo_manifest: NeMo: the manifest that the beams were made from; None: NAME.json beside NAME.tsv.
        nemo_beam_size: NeMo: lines of each manifest entry; None: the file's name says it.
        srilm_lm_weight: SRILM: weight of the language model against the acoustic one.
        srilm_word_weight: SRILM: log10 score of each word.
    """

    reference_texts: tuple[Path, ...] = ()
    acoustic_scale: float | None = None
    acoustic_costs: str = "acwt"
    graph_costs: str = "lmwt.withlm"
    nemo_manifest: Path | None = None
    nemo_beam_size: int | None = None
    srilm_lm_weight: float = 8.0
    srilm_word_weight: float = 0.0

    def __post_init__(self) -> None:
        _check_positive(self.acoustic_scale, "acoustic_scale")
        _check_positive(self.srilm_lm_weight, "srilm_lm_weight")
        _check_positive(self.nemo_beam_size, "nemo_beam_size")
        if not math.isfinite(self.srilm_word_weight):
            raise InvalidInput(
                f"srilm_word_weight is {self.srilm_word_weight}: give a finite number", field="srilm_word_weight"
            )


def _check_positive(value: float | None, field: str) -> None:
    if value is not None and not (math.isfinite(value) and value > 0):
        raise InvalidInput(f"{field} is {value:g}: give a number above 0", field=field)

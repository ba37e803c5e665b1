"""FormatOptions: facts that a reader needs and the file does not hold."""

import math
from dataclasses import dataclass
from pathlib import Path

from lorb.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class FormatOptions:
    """Options of the readers. Raises InvalidInput if a value is out of range.

    Each option but `reference_texts` is for one format.

    Attributes:
        reference_texts: files of reference transcripts, as Kaldi `text` or as trn. These transcripts replace the
            references in the lists.
        acoustic_scale: Kaldi: factor of the acoustic costs, above 0; None if the folder has no costs.
        acoustic_costs: Kaldi: name of the file of acoustic costs, beside words_text.
        graph_costs: Kaldi: name of the file of graph and language model costs, beside words_text.
        nemo_manifest: NeMo: the manifest of the beams; None for NAME.json beside NAME.tsv.
        nemo_beam_size: NeMo: number of beams of each manifest entry; None: the number in the file name.
        srilm_lm_weight: SRILM: weight of the language model score, above 0.
        srilm_word_weight: SRILM: score of each word, in log10.
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

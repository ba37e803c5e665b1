"""manifest.json: a published version's identity, digests, ranking and golden lists."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from lorb.errors import InvalidAdapter, LorbError
from lorb.names import check_name, is_version
from lorb.nbest import Hypothesis, NBest
from lorb_adapters.json_files import Finite, Sha256, check_schema_version, from_json, parse_json, to_json
from lorb_adapters.lora.head import HEAD_KINDS
from lorb_adapters.ranking import Ranking
from lorb_adapters.text import TextNormalization

SCHEMA_VERSION = 1
MAX_GOLDEN_LISTS = 64  # the trainer writes 4
MAX_GOLDEN_HYPOTHESES = 4096  # of all golden lists together: a server scores each before the adapter serves
_FILE = "manifest.json"


class GoldenHypothesis(Struct, frozen=True, omit_defaults=True):
    """One hypothesis of a golden list.

    Attributes:
        transcript: its text.
        first_pass_score: natural log, higher is better; absent if the recogniser gives none.
        component_scores: parts of the first-pass score by name, such as "acoustic".
    """

    transcript: str
    first_pass_score: Finite | None = None
    component_scores: Mapping[str, Finite] = {}


class GoldenList(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A list with the trainer's scores. A server that loads the adapter must reproduce the scores.

    The texts are public, or their speakers consented.

    Attributes:
        id: the utterance's id.
        context: the preceding turn.
        domain: the list's domain.
        reference: what was said.
        hypotheses: best first by first-pass score.
        rescoring_scores: natural log, higher is better; one for each distinct text, in the order of first occurrence.
    """

    id: str = ""
    context: str = ""
    domain: str = ""
    reference: str | UnsetType = UNSET
    hypotheses: tuple[GoldenHypothesis, ...]
    rescoring_scores: tuple[Finite, ...]

    @classmethod
    def of(cls, nbest: NBest, rescoring_scores: tuple[float, ...]) -> "GoldenList":
        """Returns `nbest` as a golden list. The scores are in the order of `nbest.distinct()`."""
        return cls(
            id=nbest.id,
            context=nbest.context,
            domain=nbest.domain,
            reference=UNSET if nbest.reference is None else nbest.reference,
            hypotheses=tuple(
                GoldenHypothesis(each.transcript, each.first_pass_score, dict(each.component_scores))
                for each in nbest.hypotheses
            ),
            rescoring_scores=rescoring_scores,
        )

    def __post_init__(self) -> None:
        try:
            num_distinct = len(self.nbest.distinct())
        except LorbError as problem:  # not a valid N-best list
            raise ValueError(str(problem)) from problem
        if len(self.rescoring_scores) != num_distinct:
            raise ValueError(
                f"rescoring_scores has {len(self.rescoring_scores)} scores for {num_distinct} distinct texts"
            )

    @property
    def nbest(self) -> NBest:
        """The list as a request carries it."""
        return NBest(
            tuple(
                Hypothesis(each.transcript, each.first_pass_score, each.component_scores) for each in self.hypotheses
            ),
            id=self.id,
            context=self.context,
            reference=None if isinstance(self.reference, UnsetType) else self.reference,
            domain=self.domain,
        )


@dataclass(frozen=True, slots=True)
class Manifest:
    """One version of one domain.

    Attributes:
        schema_version: the version of this file's schema, currently 1.
        domain: the adapter's domain.
        version: the full version id, `<n>-<digest12>`.
        created_time: UTC, ISO 8601.
        base_name: the base's name, as the trainer was given it. It is used in messages and by `choose_base`.
        base_fingerprint: sha256 of the base that the adapter was trained for, in hex.
        file_sha256: sha256 of each file except the manifest and its signature, in hex, by file name.
        weights_digest: sha256 of the weights alone, in hex; its first 12 digits end the version id.
        head_kind: "sum", "mean" or "cls".
        ranking: weight, posterior scale, switching margin and rank prior.
        normalization: how transcripts are normalised before the model reads them.
        uses_context: whether the model reads the preceding turn.
        first_pass_statistics: statistics of the training lists' first-pass scores, by name.
        training_data: sha256 of each training file, in hex, by file name.
        dev_metrics: the report's metrics on dev, by name.
        golden_lists: lists with the scores that the adapter must reproduce.
    """

    schema_version: int
    domain: str
    version: str
    created_time: str
    base_name: str
    base_fingerprint: Sha256
    file_sha256: Mapping[str, Sha256]
    weights_digest: Sha256
    head_kind: str
    ranking: Ranking
    normalization: TextNormalization
    uses_context: bool
    first_pass_statistics: Mapping[str, Finite]
    training_data: Mapping[str, Sha256]
    dev_metrics: Mapping[str, Finite]
    golden_lists: tuple[GoldenList, ...]

    def __post_init__(self) -> None:
        try:
            check_name(self.domain, "domain")
        except LorbError as problem:
            raise ValueError(str(problem)) from problem
        if not is_version(self.version):
            raise ValueError(f"version is {self.version[:80]!r}, not a full version id such as 3-0123456789ab")
        if self.head_kind not in HEAD_KINDS:
            raise ValueError(f"head_kind is {self.head_kind[:80]!r}, not one of {', '.join(HEAD_KINDS)}")

    @classmethod
    def parse(cls, content: bytes) -> "Manifest":
        """Reads manifest.json; for invalid content raises InvalidAdapter, which names the field.

        Fields that this version of LoRB does not know are ignored.
        """
        value = parse_json(content, _FILE, InvalidAdapter)
        check_schema_version(value, range(1, SCHEMA_VERSION + 1), _FILE, InvalidAdapter)
        _check_golden_counts(from_json(value, _Required, _FILE, InvalidAdapter).golden_lists)
        return from_json(value, cls, _FILE, InvalidAdapter)

    def to_json(self) -> dict[str, Any]:
        """The fields of manifest.json as parsed JSON."""
        return to_json(self)


class _RequiredNormalization(Struct):
    lowercase: bool
    strip_punctuation: bool


class _Required(Struct):
    """Fields that a manifest must contain although they have defaults in code."""

    normalization: _RequiredNormalization
    golden_lists: list[object]


def _check_golden_counts(golden_lists: Sequence[object]) -> None:
    """Raises InvalidAdapter if golden lists, or their hypotheses together, are too many."""
    if len(golden_lists) > MAX_GOLDEN_LISTS:
        raise InvalidAdapter(
            f"{_FILE}: golden_lists has {len(golden_lists)} lists, more than {MAX_GOLDEN_LISTS}", field="golden_lists"
        )
    hypotheses = [each.get("hypotheses") for each in golden_lists if isinstance(each, dict)]
    count = sum(len(each) for each in hypotheses if isinstance(each, list))
    if count > MAX_GOLDEN_HYPOTHESES:
        raise InvalidAdapter(
            f"{_FILE}: golden_lists has {count} hypotheses, more than {MAX_GOLDEN_HYPOTHESES}", field="golden_lists"
        )

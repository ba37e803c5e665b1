"""What a published version says about itself: its base, how to rank with it, how to tell it is intact."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lorb.errors import InvalidAdapter
from lorb.names import check_name, is_version
from lorb.nbest import Hypothesis, NBest
from lorb_adapters.json_fields import JsonFields
from lorb_adapters.lora.head import HEAD_KINDS
from lorb_adapters.ranking import Ranking
from lorb_adapters.text import TextNormalization

SCHEMA_VERSION = 1
_PLACE = "manifest.json"
_HEX_DIGITS = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class GoldenList:
    """A list and what the trainer scored it: whoever loads the adapter must find the same.

    Attributes:
        nbest: the list; its texts are public or consented to.
        rescoring_scores: natural log scale, in the order of `nbest.distinct()`.
    """

    nbest: NBest
    rescoring_scores: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """As it stands in a manifest."""
        return _nbest_json(self.nbest) | {"rescoring_scores": list(self.rescoring_scores)}

    @classmethod
    def from_fields(cls, fields: JsonFields) -> "GoldenList":
        """Reads what `to_json` wrote."""
        golden = cls(fields.build(lambda: _nbest(fields)), fields.number_list("rescoring_scores"))
        num_distinct = len(golden.nbest.distinct())
        if len(golden.rescoring_scores) != num_distinct:
            fields.fail(
                "rescoring_scores",
                f"has {len(golden.rescoring_scores)} scores for {num_distinct} distinct texts",
            )
        return golden


@dataclass(frozen=True, slots=True)
class Manifest:
    """One version of one domain.

    Attributes:
        schema_version: of this file; SCHEMA_VERSION when written today.
        domain: the adapter's domain.
        version: the full version id, "<n>-<digest12>".
        created_time: UTC, ISO 8601.
        base_name: the base as the trainer named it, for messages.
        base_fingerprint: sha256 of the base it was trained for, in hex.
        file_sha256: for every other file of the version, in hex.
        weights_digest: sha256 of the weights alone, in hex; its first 12 digits end the version id.
        head_kind: "sum", "mean" or "cls".
        ranking: weight, posterior scale, switching margin and rank prior.
        normalization: how transcripts are written before the model reads them.
        uses_context: whether the model reads the preceding turn.
        first_pass_statistics: of the training lists' first-pass scores, by name.
        training_data: sha256 of each training file, by file name.
        dev_metrics: by name.
        golden_lists: lists with the scores they must get.
    """

    schema_version: int
    domain: str
    version: str
    created_time: str
    base_name: str
    base_fingerprint: str
    file_sha256: Mapping[str, str]
    weights_digest: str
    head_kind: str
    ranking: Ranking
    normalization: TextNormalization
    uses_context: bool
    first_pass_statistics: Mapping[str, float]
    training_data: Mapping[str, str]
    dev_metrics: Mapping[str, float]
    golden_lists: tuple[GoldenList, ...]

    def to_json(self) -> dict[str, Any]:
        """manifest.json."""
        return {
            "schema_version": self.schema_version,
            "domain": self.domain,
            "version": self.version,
            "created_time": self.created_time,
            "base_name": self.base_name,
            "base_fingerprint": self.base_fingerprint,
            "file_sha256": dict(self.file_sha256),
            "weights_digest": self.weights_digest,
            "head_kind": self.head_kind,
            "ranking": self.ranking.to_json(),
            "normalization": self.normalization.to_json(),
            "uses_context": self.uses_context,
            "first_pass_statistics": dict(self.first_pass_statistics),
            "training_data": dict(self.training_data),
            "dev_metrics": dict(self.dev_metrics),
            "golden_lists": [golden.to_json() for golden in self.golden_lists],
        }

    @classmethod
    def from_json(cls, value: object) -> "Manifest":
        """Reads what this or an older `to_json` wrote; raises InvalidAdapter naming the key."""
        return cls._from_fields(JsonFields(value, _PLACE, InvalidAdapter))

    @classmethod
    def parse(cls, content: bytes) -> "Manifest":
        """Reads the file; raises InvalidAdapter naming the key."""
        return cls._from_fields(JsonFields.parse(content, _PLACE, InvalidAdapter))

    @classmethod
    def _from_fields(cls, fields: JsonFields) -> "Manifest":
        schema_version = _schema_version(fields)
        return cls(
            schema_version=schema_version,
            domain=_domain(fields),
            version=_version(fields),
            created_time=fields.text("created_time"),
            base_name=fields.text("base_name"),
            base_fingerprint=_sha256(fields, "base_fingerprint"),
            file_sha256=_sha256_map(fields, "file_sha256"),
            weights_digest=_sha256(fields, "weights_digest"),
            head_kind=_head_kind(fields),
            ranking=fields.build(lambda: Ranking.from_json(fields.fields("ranking").mapping())),
            normalization=fields.build(lambda: TextNormalization.from_json(fields.fields("normalization").mapping())),
            uses_context=fields.flag("uses_context"),
            first_pass_statistics=fields.numbers("first_pass_statistics"),
            training_data=_sha256_map(fields, "training_data"),
            dev_metrics=fields.numbers("dev_metrics"),
            golden_lists=tuple(map(GoldenList.from_fields, fields.field_list("golden_lists"))),
        )


def _schema_version(fields: JsonFields) -> int:
    version = fields.integer("schema_version")
    if version > SCHEMA_VERSION:
        fields.fail(
            "schema_version",
            f"is {version}, newer than the {SCHEMA_VERSION} that this LoRB reads: upgrade LoRB to load it",
        )
    if version < 1:
        fields.fail("schema_version", "is 0: the first one is 1")
    return version


def _domain(fields: JsonFields) -> str:
    return fields.build(lambda: check_name(fields.text("domain"), "domain"))


def _version(fields: JsonFields) -> str:
    version = fields.text("version")
    if not is_version(version):
        fields.fail("version", f"is {version[:80]!r}, not a full version id")
    return version


def _head_kind(fields: JsonFields) -> str:
    kind = fields.text("head_kind")
    if kind not in HEAD_KINDS:
        fields.fail("head_kind", f"is {kind[:80]!r}, not one of {', '.join(HEAD_KINDS)}")
    return kind


def _sha256(fields: JsonFields, key: str) -> str:
    digest = fields.text(key)
    if len(digest) != 64 or not _HEX_DIGITS.issuperset(digest):
        fields.fail(key, f"is {digest[:80]!r}, not 64 lower-case hex digits")
    return digest


def _sha256_map(fields: JsonFields, key: str) -> dict[str, str]:
    inner = fields.fields(key)
    return {name: _sha256(inner, name) for name in inner.mapping()}


def _nbest_json(nbest: NBest) -> dict[str, Any]:
    """The list without what it does not have."""
    known: dict[str, Any] = {"id": nbest.id, "context": nbest.context, "domain": nbest.domain}
    if nbest.reference is not None:
        known["reference"] = nbest.reference
    return {key: value for key, value in known.items() if value != "" or key == "reference"} | {
        "hypotheses": [_hypothesis_json(hypothesis) for hypothesis in nbest.hypotheses]
    }


def _hypothesis_json(hypothesis: Hypothesis) -> dict[str, Any]:
    written: dict[str, Any] = {"transcript": hypothesis.transcript}
    if hypothesis.first_pass_score is not None:
        written["first_pass_score"] = hypothesis.first_pass_score
    if hypothesis.component_scores:
        written["component_scores"] = dict(hypothesis.component_scores)
    return written


def _nbest(fields: JsonFields) -> NBest:
    texts = {key: fields.text(key) for key in ("id", "context", "domain", "reference") if key in fields}
    hypotheses = tuple(map(_hypothesis, fields.field_list("hypotheses")))
    return NBest(
        hypotheses,
        id=texts.get("id", ""),
        context=texts.get("context", ""),
        reference=texts.get("reference"),
        domain=texts.get("domain", ""),
    )


def _hypothesis(fields: JsonFields) -> Hypothesis:
    return Hypothesis(
        fields.text("transcript"),
        fields.optional_number("first_pass_score"),
        fields.numbers("component_scores") if "component_scores" in fields else {},
    )

"""lorb_adapters.store.manifest."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorb.errors import InvalidAdapter
from lorb.nbest import Hypothesis, NBest
from lorb_adapters.json_files import canonical_json
from lorb_adapters.ranking import Ranking, RankPrior
from lorb_adapters.store.manifest import (
    MAX_GOLDEN_HYPOTHESES,
    MAX_GOLDEN_LISTS,
    SCHEMA_VERSION,
    GoldenList,
    Manifest,
)
from lorb_adapters.text import TextNormalization

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
finite = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(min_value=1e-6, max_value=1e6)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True)


@st.composite
def nbests(draw):
    """Valid N-best lists."""
    scored = draw(st.booleans())
    hypothesis = st.builds(
        Hypothesis, texts, finite if scored else st.none(), st.dictionaries(texts, finite, max_size=2)
    )
    return NBest(
        tuple(draw(st.lists(hypothesis, min_size=1, max_size=4))),
        id=draw(texts),
        context=draw(texts),
        reference=draw(st.none() | texts),
        domain=draw(texts),
    )


@st.composite
def golden_lists(draw):
    """Golden lists: a score for each distinct text."""
    nbest = draw(nbests())
    size = len(nbest.distinct())
    return GoldenList.of(nbest, tuple(draw(st.lists(finite, min_size=size, max_size=size))))


manifests = st.builds(
    Manifest,
    schema_version=st.just(SCHEMA_VERSION),
    domain=names,
    version=st.from_regex(r"[1-9][0-9]{0,8}-[0-9a-f]{12}", fullmatch=True),
    created_time=texts,
    base_name=texts,
    base_fingerprint=digests,
    file_sha256=st.dictionaries(texts, digests, max_size=3),
    weights_digest=digests,
    head_kind=st.sampled_from(["sum", "mean", "cls"]),
    ranking=st.builds(
        Ranking,
        positive,
        positive,
        positive,
        st.builds(
            RankPrior,
            st.lists(st.floats(-50, 0), min_size=1, max_size=4).map(tuple),
            positive,
            positive,
        ),
    ),
    normalization=st.builds(TextNormalization, st.booleans(), st.booleans()),
    uses_context=st.booleans(),
    first_pass_statistics=st.dictionaries(texts, finite, max_size=3),
    training_data=st.dictionaries(texts, digests, max_size=2),
    dev_metrics=st.dictionaries(texts, finite, max_size=3),
    golden_lists=st.lists(golden_lists(), max_size=2).map(tuple),
)


def example() -> dict:
    """The fields of a manifest."""
    ranking = Ranking(0.5, 0.8, 0.0, RankPrior((-0.3,), 0.7, 0.9))
    golden = GoldenList.of(NBest((Hypothesis("a", -1.0), Hypothesis("b", -2.0)), id="u"), (0.5, 0.25))
    return Manifest(
        schema_version=SCHEMA_VERSION,
        domain="voice",
        version="3-0123456789ab",
        created_time="2026-01-01T00:00:00+00:00",
        base_name="minilm",
        base_fingerprint="f" * 64,
        file_sha256={"head.safetensors": "a" * 64},
        weights_digest="0123456789ab" + "0" * 52,
        head_kind="sum",
        ranking=ranking,
        normalization=TextNormalization(),
        uses_context=False,
        first_pass_statistics={"mean": -3.0},
        training_data={"train.jsonl": "b" * 64},
        dev_metrics={"wer": 12.5},
        golden_lists=(golden,),
    ).to_json()


def parse(value: dict) -> Manifest:
    """Reads `value` as a manifest's content."""
    return Manifest.parse(json.dumps(value).encode())


@settings(deadline=None)
@given(manifests)
def test_a_manifest_reads_back_as_it_was_written(manifest):
    """Every manifest survives writing and reading the file."""
    assert Manifest.parse(canonical_json(manifest.to_json())) == manifest


@pytest.mark.parametrize("key", sorted(example()))
def test_a_missing_key_is_named(key):
    """A manifest without one of its fields is refused, and the field is named."""
    value = example()
    del value[key]
    with pytest.raises(InvalidAdapter, match=key):
        parse(value)


@pytest.mark.parametrize("key", sorted(example()))
def test_a_mistyped_value_is_named(key):
    """A value of the wrong type is refused, and the field is named."""
    with pytest.raises(InvalidAdapter, match=key):
        parse(example() | {key: [[]]})


def test_a_newer_schema_says_to_upgrade():
    """A manifest of a newer schema is refused with the advice to upgrade LoRB."""
    with pytest.raises(InvalidAdapter, match=r"schema_version is 2.*upgrade LoRB"):
        parse(example() | {"schema_version": SCHEMA_VERSION + 1})


def test_an_unknown_key_is_ignored():
    """A field that this LoRB does not know does not change what is read."""
    assert parse(example() | {"note": "new"}) == parse(example())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("domain", "../../etc"),
        ("version", "3"),
        ("head_kind", "max"),
        ("weights_digest", "0" * 63),
        ("base_fingerprint", "F" * 64),
        ("file_sha256", {"head.safetensors": "x" * 64}),
        ("training_data", {"train.jsonl": 5}),
        ("dev_metrics", {"wer": "low"}),
        ("normalization", {"lowercase": "yes"}),
    ],
)
def test_an_invalid_value_is_named(key, value):
    """Invalid names, digests and kinds are refused, and the field is named."""
    with pytest.raises(InvalidAdapter, match=key):
        parse(example() | {key: value})


@pytest.mark.parametrize("scores", [[0.5], [0.5, 0.25, 0.1], [0.5, None]])
def test_golden_scores_must_fit_their_list(scores):
    """A golden list without exactly one number for each distinct text is refused."""
    value = json.loads(json.dumps(example()))
    value["golden_lists"][0]["rescoring_scores"] = scores
    with pytest.raises(InvalidAdapter, match=r"golden_lists\[0\]\.rescoring_scores"):
        parse(value)


def test_a_golden_list_must_be_a_valid_nbest_list():
    """A golden list of which only some hypotheses have scores is refused."""
    value = json.loads(json.dumps(example()))
    del value["golden_lists"][0]["hypotheses"][1]["first_pass_score"]
    with pytest.raises(InvalidAdapter, match=r"golden_lists\[0\].*first_pass_score is missing"):
        parse(value)


def test_too_many_golden_lists_are_refused():
    """More golden lists than a server scores are refused with both numbers, whatever the lists hold."""
    golden = example()["golden_lists"][0]
    assert len(parse(example() | {"golden_lists": [golden] * MAX_GOLDEN_LISTS}).golden_lists) == MAX_GOLDEN_LISTS
    with pytest.raises(InvalidAdapter, match=rf"golden_lists has {MAX_GOLDEN_LISTS + 1} lists, more than "):
        parse(example() | {"golden_lists": [{}] * (MAX_GOLDEN_LISTS + 1)})


def test_too_many_golden_hypotheses_are_refused():
    """More hypotheses in all golden lists together than a server scores are refused with both numbers."""
    half = {"hypotheses": [{}] * (MAX_GOLDEN_HYPOTHESES // 2 + 1)}
    with pytest.raises(InvalidAdapter, match=rf"has {MAX_GOLDEN_HYPOTHESES + 2} hypotheses, more than "):
        parse(example() | {"golden_lists": [half, half]})

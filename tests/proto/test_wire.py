"""lorb.wire: values survive the conversion to protobuf, and errors name the field."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorb.errors import InvalidInput, LorbError, Overloaded, UnknownDomain
from lorb.nbest import Hypothesis, NBest
from lorb.ranked import (
    AdapterRef,
    FallbackPolicy,
    FallbackReason,
    Outcome,
    Ranked,
    RankedHypothesis,
    RescoreOptions,
    Selection,
    Timings,
)
from lorb.server_info import ServerInfo
from lorb.v1 import rescoring_pb2 as pb
from lorb.wire import (
    batch_from_lists,
    batch_result,
    info_from_response,
    nbest_from_request,
    options_from_request,
    ranked_from_response,
    request_from_nbest,
    response_from_info,
    response_from_ranked,
    results_from_batch,
)

FINITE = st.floats(allow_nan=False, allow_infinity=False)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LABELS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=20)
COMPONENTS = st.dictionaries(LABELS, FINITE, max_size=3)
SCORED = st.lists(st.builds(Hypothesis, ANY_TEXT, FINITE, COMPONENTS), min_size=1, max_size=5)
UNSCORED = st.lists(st.builds(Hypothesis, ANY_TEXT, st.none(), COMPONENTS), min_size=1, max_size=5)
LISTS = st.builds(NBest, st.one_of(SCORED, UNSCORED).map(tuple), LABELS, ANY_TEXT)
OPTIONS = st.builds(
    RescoreOptions,
    domain=LABELS,
    rescoring_weight=st.none() | st.floats(0, 1e6),
    fallback_policy=st.sampled_from(FallbackPolicy),
    top_n=st.integers(0, 2**32 - 1),
    selection=st.sampled_from(Selection),
    routing_key=LABELS,
)
RANKED = st.builds(
    Ranked,
    hypotheses=st.lists(
        st.builds(
            RankedHypothesis,
            st.integers(0, 2**32 - 1),
            ANY_TEXT,
            st.none() | FINITE,
            st.none() | FINITE,
            st.none() | FINITE,
            st.booleans(),
            COMPONENTS,
        ),
        max_size=4,
    ).map(tuple),
    outcome=st.sampled_from([outcome for outcome in Outcome if outcome is not Outcome.UNKNOWN]),
    id=LABELS,
    fallback_reason=st.sampled_from([None, *FallbackReason]).filter(
        lambda reason: reason is not FallbackReason.UNKNOWN
    ),
    adapter=st.none() | st.builds(AdapterRef, LABELS, LABELS, LABELS),
    timings=st.builds(Timings, FINITE, FINITE, FINITE, FINITE),
)


def request(**fields):
    """A valid request with `fields` changed."""
    return pb.RescoreRequest(**{"hypotheses": [pb.Hypothesis(transcript="a")]} | fields)


def refusal(read, message):
    """Returns the field that `read` refuses `message` for."""
    with pytest.raises(InvalidInput) as caught:
        read(message)
    assert caught.value.field in caught.value.message
    return caught.value.field


@given(LISTS, OPTIONS)
def test_a_request_comes_back_as_it_was_sent(nbest, options):
    """Lists and options are equal after a conversion to a request and back."""
    sent = pb.RescoreRequest.FromString(request_from_nbest(nbest, options).SerializeToString())
    assert nbest_from_request(sent) == nbest
    assert options_from_request(sent) == options


@given(RANKED)
def test_an_answer_comes_back_as_it_was_sent(ranked):
    """Results are equal after a conversion to a response and back."""
    sent = pb.RescoreResponse.FromString(response_from_ranked(ranked).SerializeToString())
    assert ranked_from_response(sent) == ranked


def test_real_lists_survive_the_wire(sample_lists):
    """Real lists are equal after the conversion, without reference and domain, which are not sent."""
    for nbest in sample_lists[:50]:
        assert nbest_from_request(request_from_nbest(nbest, RescoreOptions())) == NBest(nbest.hypotheses, nbest.id)


def test_an_empty_request_asks_for_the_defaults():
    """Unset fields of a request give the default options."""
    assert options_from_request(request()) == RescoreOptions()


@pytest.mark.parametrize(
    ("hypotheses", "field"),
    [
        ([], "hypotheses"),
        ([("a", math.nan)], "hypotheses[0].first_pass_score"),
        ([("a", -1.0), ("b", math.inf)], "hypotheses[1].first_pass_score"),
        ([("a", -1.0), ("b", -math.inf)], "hypotheses[1].first_pass_score"),
        ([("a", -1.0), ("b", None)], "hypotheses[1].first_pass_score"),
        ([("a", None), ("b", -1.0)], "hypotheses[0].first_pass_score"),
    ],
)
def test_a_bad_list_is_refused_with_the_path_of_the_field(hypotheses, field):
    """An empty list, scores that are not finite, and scores on some hypotheses are refused with their field."""
    messages = [pb.Hypothesis(transcript=text, first_pass_score=score) for text, score in hypotheses]
    assert refusal(nbest_from_request, pb.RescoreRequest(hypotheses=messages)) == field


@pytest.mark.parametrize("components", [{"lm": math.nan}, {"l\nm": 1.0}, {"x" * 300: 1.0}])
def test_bad_component_scores_are_refused_with_their_path(components):
    """Component scores that are not finite, or have invalid names, are refused with their field."""
    bad = pb.Hypothesis(transcript="b", component_scores=components)
    message = pb.RescoreRequest(hypotheses=[pb.Hypothesis(transcript="a"), bad])
    assert refusal(nbest_from_request, message) == "hypotheses[1].component_scores"


@pytest.mark.parametrize("text", ["a\nb", "x" * 257, "\x00"])
def test_bad_labels_are_refused_with_their_field(text):
    """Request ids, routing keys and domains that are invalid labels are refused with their field."""
    assert refusal(nbest_from_request, request(request_id=text)) == "request_id"
    assert refusal(options_from_request, request(routing_key=text)) == "routing_key"
    assert refusal(options_from_request, request(domain=text)) == "domain"


@pytest.mark.parametrize("weight", [-0.5, math.nan, math.inf, -math.inf])
def test_a_weight_is_finite_and_not_negative(weight):
    """A weight that is negative or not finite is refused."""
    assert refusal(options_from_request, request(rescoring_weight=weight)) == "rescoring_weight"


@pytest.mark.parametrize("field", ["fallback_policy", "selection"])
def test_unknown_enum_numbers_are_refused(field):
    """Unknown enum numbers in a request are refused with their field."""
    assert refusal(options_from_request, request(**{field: 99})) == field


def test_weight_0_is_a_weight():
    """A weight of 0 is kept, and differs from no weight."""
    assert options_from_request(request(rescoring_weight=0.0)).rescoring_weight == 0.0


@pytest.mark.parametrize("text", ["[SEP]", "[CLS] a", "\x00\x1b[31m", "\u202e", "a\nb", ""])
def test_any_text_is_a_transcript(text):
    """Special tokens, control characters and empty text are returned unchanged."""
    message = request(hypotheses=[pb.Hypothesis(transcript=text)], context=text)
    assert nbest_from_request(message) == NBest((Hypothesis(text),), context=text)


@pytest.mark.parametrize(
    ("nbest", "field"),
    [
        (NBest((Hypothesis("a"), Hypothesis("\ud800"))), "hypotheses[1].transcript"),
        (NBest((Hypothesis("a"),), id="\ud800"), "request_id"),
        (NBest((Hypothesis("a"),), context="\ud800"), "context"),
        (NBest((Hypothesis("a", component_scores={"\ud800": 1.0}),)), "hypotheses[0].component_scores"),
    ],
)
def test_a_lone_surrogate_is_refused_before_it_is_sent(nbest, field):
    """Text that UTF-8 cannot encode is refused with its field before it is sent."""
    assert refusal(lambda each: request_from_nbest(each, RescoreOptions()), nbest) == field


@pytest.mark.parametrize("top_n", [-1, 2**32])
def test_top_n_is_a_count(top_n):
    """A top_n that the message cannot hold is refused with its field."""
    nbest = NBest((Hypothesis("a"),))
    assert refusal(lambda each: request_from_nbest(each, RescoreOptions(top_n=top_n)), nbest) == "top_n"


def test_unknown_enum_numbers_of_a_response_keep_the_answer():
    """An answer with an outcome and a reason of a newer server keeps its hypotheses and scores."""
    hypothesis = pb.RescoredHypothesis(index=1, transcript="b", rescoring_score=-1.5)
    ranked = ranked_from_response(pb.RescoreResponse(outcome=99, fallback_reason=98, hypotheses=[hypothesis]))
    assert (ranked.outcome, ranked.fallback_reason) == (Outcome.UNKNOWN, FallbackReason.UNKNOWN)
    assert ranked.hypotheses == (RankedHypothesis(1, "b", rescoring_score=-1.5),)


def test_an_answer_without_outcome_is_an_error():
    """A response without outcome, which no server sends, is an error."""
    with pytest.raises(LorbError, match="no outcome"):
        ranked_from_response(pb.RescoreResponse())


def test_one_broken_answer_does_not_discard_the_batch():
    """In a batch, an answer without outcome is the error of its own list, and the other answers arrive."""
    good = Ranked((RankedHypothesis(0, "a"),), Outcome.RESCORED, id="x")
    results = [batch_result(good), pb.BatchRescoreResult(response=pb.RescoreResponse())]
    first, second = results_from_batch(pb.BatchRescoreResponse(results=results), 2)
    assert first == good
    assert isinstance(second, LorbError)


def test_a_batch_carries_answers_and_errors_in_order():
    """The results and errors of a batch are equal after the conversion, in order."""
    ranked = Ranked((RankedHypothesis(0, "a"),), Outcome.RESCORED, id="x")
    results = [ranked, UnknownDomain("no domain 'x'", field="domain"), Overloaded("no room")]
    message = pb.BatchRescoreResponse(results=[batch_result(result) for result in results])
    read = results_from_batch(pb.BatchRescoreResponse.FromString(message.SerializeToString()), 3)
    assert read[0] == ranked
    assert [(type(each), each.message, each.field) for each in read[1:]] == [
        (UnknownDomain, "no domain 'x'", "domain"),
        (Overloaded, "no room", ""),
    ]


def test_a_batch_with_answers_missing_is_an_error():
    """A batch response with fewer results than requests is an error."""
    with pytest.raises(LorbError, match="0 of 2"):
        results_from_batch(pb.BatchRescoreResponse(), 2)


def test_a_batch_asks_for_each_list_under_the_same_options(sample_lists):
    """A batch holds the same requests as single calls."""
    options = RescoreOptions(domain="books", top_n=3)
    batch = batch_from_lists(sample_lists[:3], options)
    assert list(batch.requests) == [request_from_nbest(nbest, options) for nbest in sample_lists[:3]]


def test_server_info_survives_the_wire():
    """All fields of ServerInfo are equal after the conversion."""
    info = ServerInfo("0.1.0", "minilm", "ab", "cpu", "float32", ("books", "base"), "books", 100, 2000, 64)
    message = response_from_info(info)
    assert info_from_response(message) == info
    assert {field.name for field, _ in message.ListFields()} == {f.name for f in message.DESCRIPTOR.fields}

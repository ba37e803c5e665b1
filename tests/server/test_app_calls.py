"""lorb_server.app: calls that wait while the model fails, the queue is full, or an alias flips."""

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lorb.v1 import rescoring_pb2 as pb
from support.adapters.publications import make_publication
from support.servers.health_checks import NOT_SERVING, SERVING, health_of
from support.servers.held_server import HeldServer
from support.servers.serving import WAIT_SECONDS, running_server, selected


def test_a_dead_model_fails_every_call_and_ends_the_server(held):
    """If the model's thread dies, all waiting calls fail, health is NOT_SERVING and the exit status is not 0."""
    watching = health_pb2_grpc.HealthStub(held.server.channel).Watch(health_pb2.HealthCheckRequest())
    assert next(watching).status == SERVING
    calls = held.hold(8)
    held.model.trouble = SystemExit("killed")
    held.model.gate.set()
    errors = [call.exception(WAIT_SECONDS) for call in calls]
    assert {error.code() for error in errors} == {grpc.StatusCode.INTERNAL}
    assert [answer.status for answer in watching] == [NOT_SERVING]
    assert held.server.join() == 1


def test_a_batch_that_raises_fails_only_its_own_calls(held):
    """The calls of a batch that raises get INTERNAL; health stays SERVING and the next call is rescored."""
    [call] = held.hold()
    held.model.trouble = RuntimeError("the cat")
    held.model.gate.set()
    error = call.exception(WAIT_SECONDS)
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "cat" not in error.details()
    held.model.trouble = None
    assert held.server.rescore("the cat", "a cat").outcome == pb.OUTCOME_RESCORED
    assert health_of(held.server.channel) == SERVING


@pytest.fixture
def narrow(tiny_bert, store):
    """A held server whose queue has room for one list."""
    with running_server(tiny_bert, store.url, max_queue_tokens=64, score_cache_bytes=0, workers=1) as server:
        held = HeldServer(server)
        yield held
        held.model.gate.set()
        held.callers.shutdown()


def test_a_full_queue_degrades_or_fails_by_the_callers_policy(narrow):
    """With a full queue, calls get the first-pass order or RESOURCE_EXHAUSTED; queued lists are still rescored."""
    long = " ".join(["cat"] * 100)
    calls = narrow.hold()
    calls.append(narrow.callers.submit(narrow.server.rescore, long, "a " + long))
    narrow.until(lambda: narrow.queued == 1)
    answer = narrow.server.rescore("the cat", "a cat")
    assert (answer.outcome, answer.fallback_reason) == (pb.OUTCOME_FIRST_PASS, pb.FALLBACK_REASON_QUEUE_FULL)
    assert answer.adapter.version
    with pytest.raises(grpc.RpcError) as caught:
        narrow.server.rescore("the cat", "a cat", fallback_policy=pb.FALLBACK_POLICY_FAIL)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert narrow.server.rescore("the cat").outcome == pb.OUTCOME_RESCORED
    narrow.model.gate.set()
    assert {call.result(WAIT_SECONDS).outcome for call in calls} == {pb.OUTCOME_RESCORED}


def test_a_cancelled_call_leaves_the_queue(held):
    """A cancelled call is removed from the queue and never reaches the model."""
    calls = held.hold()
    hypotheses = [pb.Hypothesis(transcript=text) for text in ("the dog", "a dog")]
    abandoned = held.server.stub.Rescore.future(pb.RescoreRequest(domain="voice", hypotheses=hypotheses))
    held.until(lambda: held.queued == 1)
    abandoned.cancel()
    held.until(lambda: held.queued == 0)
    held.model.gate.set()
    assert calls[0].result(WAIT_SECONDS).outcome == pb.OUTCOME_RESCORED
    assert held.model.passes == [2]
    assert held.server.sample("lorb_rescore_abandoned_total") == 1


def test_a_flip_does_not_change_admitted_lists(held, store, publishing_base):
    """Lists that wait during a flip are answered by the version that they were admitted with."""
    [before] = store.versions("voice")
    # without golden lists, which the held model would not score
    after = store.publish(make_publication(publishing_base, "voice", seed=2, golden_lists=()), set_stable=False)
    registry = held.server.app.registry
    held.until(lambda: registry.domains.generation == store.generation())
    held.server.do(lambda: registry.verify("voice", after))
    calls = held.hold(3)
    store.set_alias("voice", "stable", after)
    held.until(lambda: selected(registry, "voice").ref.version == after)
    late = held.call()
    held.model.gate.set()
    assert {call.result(WAIT_SECONDS).adapter.version for call in calls} == {before}
    assert late.result(WAIT_SECONDS).adapter.version == after

"""A complete server with front processes: answers, aliases, metrics, failures and exit status."""

import signal
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import grpc
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from lorb.errors import InvalidInput
from lorb.v1 import admin_pb2, rescoring_pb2_grpc
from lorb.v1 import rescoring_pb2 as pb
from support.adapters.publications import make_publication
from support.servers.serving import WAIT_SECONDS, free_port, lorb_serve, running_server
from support.servers.stub_model import StubModel, use_stub_model

TEXTS = ("the cat sat", "a cat sat", "the cat sad", "cat", "the  cat sat", "a dog sat on the cat")


def until(condition):
    """Waits until the condition holds."""
    limit = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.005)


def call(target, *texts, **fields):
    """Rescores a list over a new connection."""
    hypotheses = [pb.Hypothesis(transcript=text, first_pass_score=-i / 4) for i, text in enumerate(texts)]
    request = pb.RescoreRequest(hypotheses=hypotheses, **{"domain": "voice", **fields})
    with grpc.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        return rescoring_pb2_grpc.RescoringServiceStub(channel).Rescore(request, timeout=WAIT_SECONDS)


def retrying_call(target, *texts):
    """Rescores a list over new connections until a server is available."""
    while True:
        try:
            return call(target, *texts)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise


@pytest.fixture
def fronted(tiny_bert, store):
    """A server with two fronts."""
    with running_server(tiny_bert, store.url, workers=1, front_processes=2, log_level="error") as server:
        yield server


def without_timings(answer):
    answer.ClearField("timings")
    return answer


@pytest.mark.parametrize(
    "fields",
    [{}, {"selection": pb.SELECTION_MBR}, {"top_n": 2}, {"rescoring_weight": 3.0}, {"fallback_policy": 2}],
)
def test_fronts_answer_as_a_server_of_one_process(fronted, tiny_bert, store, fields):
    """A server with fronts and one without return equal answers, bit for bit."""
    with running_server(tiny_bert, store.url, workers=1) as single:
        expected = without_timings(call(single.target, *TEXTS, **fields))
    assert expected.outcome == pb.OUTCOME_RESCORED
    answers = [without_timings(call(fronted.target, *TEXTS, **fields)) for _ in range(4)]
    assert answers == [expected] * 4


def test_a_batch_goes_through_a_front(fronted):
    """BatchRescore through a front gives each list its own answer or status."""
    good = pb.RescoreRequest(domain="voice", hypotheses=[pb.Hypothesis(transcript=text) for text in TEXTS])
    bad = pb.RescoreRequest(domain="tv", hypotheses=[pb.Hypothesis(transcript="a")])
    answer = fronted.stub.BatchRescore(pb.BatchRescoreRequest(requests=[good, bad, good]), timeout=WAIT_SECONDS)
    assert [one.WhichOneof("result") for one in answer.results] == ["response", "error", "response"]
    assert answer.results[1].error.code == grpc.StatusCode.NOT_FOUND.value[0]


def test_an_alias_change_is_effective_when_set_alias_returns(fronted, store, publishing_base):
    """The first calls after SetAlias are answered by the new version, through every front."""
    [first] = store.versions("voice")
    second = store.publish(make_publication(publishing_base, "voice", seed=2), set_stable=False)
    for version in (second, first, second, first):
        fronted.admin.SetAlias(
            admin_pb2.SetAliasRequest(domain="voice", alias="stable", version=version), timeout=WAIT_SECONDS
        )
        assert {call(fronted.target, *TEXTS).adapter.version for _ in range(4)} == {version}


def test_a_canary_splits_callers_as_in_one_process(fronted, tiny_bert, store, publishing_base):
    """A routing key gets the same version through every front as in a server without fronts."""
    second = store.publish(make_publication(publishing_base, "voice", seed=2), set_stable=False)
    fronted.admin.SetAlias(
        admin_pb2.SetAliasRequest(domain="voice", alias="canary", version=second, share=0.5), timeout=WAIT_SECONDS
    )
    keys = [f"speaker-{i}" for i in range(12)]

    def versions(target):
        return [call(target, "the cat", "a cat", routing_key=key).adapter.version for key in keys]

    with running_server(tiny_bert, store.url, workers=1) as single:
        expected = versions(single.target)
    assert len(set(expected)) == 2
    assert versions(fronted.target) == versions(fronted.target) == expected


def test_the_metrics_page_adds_up_all_processes(tiny_bert, store):
    """The page has the calls counted in the fronts and the batches counted in the engine process."""
    port = free_port()
    with running_server(
        tiny_bert, store.url, front_processes=2, metrics_port=port, score_cache_bytes=0, log_level="error"
    ) as server:
        for _ in range(10):
            call(server.target, "the cat", "a cat")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
            families = text_string_to_metric_families(page.read().decode())
        samples = {(s.name, *sorted(s.labels.items())): s.value for family in families for s in family.samples}
        requests = ("lorb_rescore_requests_total", ("domain", "voice"), ("outcome", "rescored"), ("reason", ""))
        assert samples[requests] == 10
        assert samples[("lorb_rescore_duration_seconds_count", ("lane", "single"), ("stage", "total"))] == 10
        assert samples[("lorb_batch_lists_sum",)] == 10
        assert samples[("lorb_fronts",)] == 2
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics?name[]=lorb_fronts") as page:
            assert "lorb_fronts 2.0" in page.read().decode()


def test_a_second_server_on_the_port_is_refused(fronted, tiny_bert, store):
    """A second server on the port, with or without fronts, fails with an error that names --port."""
    for front_processes in (0, 1):
        with (
            pytest.raises(InvalidInput, match="--port"),
            running_server(tiny_bert, store.url, port=fronted.ports.port, front_processes=front_processes),
        ):
            pass


def test_a_dead_model_fails_every_call_and_ends_all_processes(fronted):
    """When a worker dies, waiting calls get INTERNAL, the exit status is 1, and all fronts end."""
    model = StubModel()
    model.gate.clear()
    use_stub_model(fronted, model)
    fronts = [psutil.Process(number) for number in fronted.app.fronts.process_ids]
    with ThreadPoolExecutor(4) as callers:
        calls = [callers.submit(call, fronted.target, "the cat", f"a cat {i}") for i in range(4)]
        until(lambda: fronted.app.fronts.num_jobs == 4)
        assert model.entered.wait(WAIT_SECONDS)
        model.trouble = SystemExit("killed")
        model.gate.set()
        errors = [each.exception(WAIT_SECONDS) for each in calls]
    assert {error.code() for error in errors} == {grpc.StatusCode.INTERNAL}
    assert fronted.join() == 1
    assert not [process for process in fronts if process.is_running()]


def front_processes(process):
    """The running fronts of a server. Its other child reads the store."""
    return [each for each in psutil.Process(process.pid).children() if "lorb_server.fronts.front" in each.cmdline()]


@contextmanager
def serving_process(tiny_bert, store, tmp_path, **settings):
    """Starts lorb-serve with two fronts; yields the process, its ports and its fronts, and kills all of them."""
    fronts = []
    try:
        with lorb_serve(tiny_bert, store.url, tmp_path, front_processes=2, **settings) as (process, ports):
            fronts += front_processes(process)
            yield process, ports, fronts
    finally:
        for front in fronts:
            with suppress(psutil.NoSuchProcess):
                front.kill()


def test_sigterm_under_load_answers_the_calls_in_flight(tiny_bert, store, tmp_path):
    """Every call is answered or refused with UNAVAILABLE or CANCELLED; the exit status is 0 and all processes end."""
    with serving_process(tiny_bert, store, tmp_path) as (process, ports, fronts):
        target = f"127.0.0.1:{ports['port']}"
        assert len(fronts) == 2

        answered = [0] * 6

        def call_until_refused(number):
            while True:
                try:
                    answer = call(target, f"the cat {number}", f"a cat {answered[number]}")
                except grpc.RpcError as error:
                    return error.code()
                assert answer.outcome == pb.OUTCOME_RESCORED
                answered[number] += 1

        with ThreadPoolExecutor(len(answered)) as callers:
            calls = [callers.submit(call_until_refused, i) for i in range(len(answered))]
            until(lambda: all(answered) or any(each.done() for each in calls))
            process.send_signal(signal.SIGTERM)
            ends = {each.result(WAIT_SECONDS) for each in calls}
        # CANCELLED: the call came over a connection that was closing
        assert ends <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
        assert all(answered)
        assert process.wait(WAIT_SECONDS) == 0
        assert not [front for front in fronts if front.is_running()]


def test_retrying_callers_lose_no_call_when_a_front_is_killed(tiny_bert, store, tmp_path):
    """After a front is killed under load, every call is rescored and two fronts serve again."""
    with serving_process(tiny_bert, store, tmp_path) as (process, ports, fronts):
        target = f"127.0.0.1:{ports['port']}"
        with ThreadPoolExecutor(4) as callers:
            calls = [callers.submit(retrying_call, target, f"the cat {i}", "a cat") for i in range(200)]
            until(lambda: sum(each.done() for each in calls) > 20)
            fronts[0].kill()
            outcomes = {each.result(60).outcome for each in calls}
        assert outcomes == {pb.OUTCOME_RESCORED}
        until(lambda: len(front_processes(process)) == 2)
        fronts += front_processes(process)


def test_no_front_outlives_a_killed_engine_process(tiny_bert, store, tmp_path):
    """When the engine process is killed, both fronts and the reader of the store end; new calls get UNAVAILABLE."""
    with serving_process(tiny_bert, store, tmp_path) as (process, ports, _):
        children = psutil.Process(process.pid).children()
        assert len(children) == 3
        process.kill()
        _, alive = psutil.wait_procs(children, timeout=WAIT_SECONDS)
        assert not alive
        assert process.wait(WAIT_SECONDS) == -signal.SIGKILL
        with pytest.raises(grpc.RpcError) as caught:
            call(f"127.0.0.1:{ports['port']}", "the cat", "a cat")
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

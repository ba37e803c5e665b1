"""A real server, client and store: versions are published, promoted and refused while calls continue."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from lorb import Hypothesis, NBest, Outcome, RescoreOptions
from lorb.errors import LorbError
from lorb.v1 import admin_pb2
from lorb_adapters.base.loader import load_base
from lorb_adapters.model import RescoringModel
from lorb_adapters.store.store import Store
from lorb_adapters.store.verified_loading import load_adapter
from lorb_client import Client
from support.adapters.publications import RANKING, make_publication
from support.faulty_input.forged_versions import write_forged_versions
from support.servers.serving import WAIT_SECONDS, running_server, selected

NUM_CALLERS = 8
NUM_VERSIONS = 20
DOMAINS = ("voice", "radio", "desk")


class StableTimeline:
    """Records which version of `voice` is stable in a server, and from when to when."""

    def __init__(self, registry):
        self._registry = registry
        self._replace = registry.domains.replace
        self.spans = [[selected(registry, "voice").ref.version, time.monotonic(), float("inf")]]
        registry.domains.replace = self._replace_and_record

    def _replace_and_record(self, name, domain):
        begin = time.monotonic()
        self._replace(name, domain)
        version = selected(self._registry, "voice").ref.version
        if version != self.spans[-1][0]:
            self.spans[-1][2] = time.monotonic()
            self.spans.append([version, begin, float("inf")])

    def versions_during(self, start, stop):
        """Returns all versions that were stable at some time between two times."""
        return {version for version, begin, end in self.spans if begin <= stop and end >= start}


class Callers:
    """Threads that call without a pause and record every answer."""

    def __init__(self, target):
        self.answers = []
        self.errors = []
        self._stop = threading.Event()
        self._target = target
        self._threads = [threading.Thread(target=self._call, args=(i,)) for i in range(NUM_CALLERS)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(WAIT_SECONDS)

    def _call(self, number):
        texts = (f"THE CAT NUMBER {number} SAT", f"A CAT NUMBER {number} SAT", f"THE CAT NUMBER {number} SAD")
        nbest = NBest(tuple(Hypothesis(text, -float(i)) for i, text in enumerate(texts)))
        options = RescoreOptions(domain="voice")
        with Client(self._target, timeout_seconds=WAIT_SECONDS) as client:
            while not self._stop.is_set():
                start = time.monotonic()
                try:
                    ranked = client.rescore(nbest, options)
                except LorbError as error:
                    self.errors.append(error)
                    return
                self.answers.append((start, time.monotonic(), nbest, ranked))


def until(condition):
    """Waits until the condition holds."""
    limit = time.monotonic() + 3 * WAIT_SECONDS
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.002)


@pytest.fixture(scope="module")
def base(tiny_bert):
    """The tiny BERT, loaded."""
    return load_base(str(tiny_bert))


@pytest.fixture
def store(tmp_path):
    """An empty store."""
    (tmp_path / "store").mkdir()
    return Store(str(tmp_path / "store"))


def expected_scores(store, base, domain, version, nbest):
    """Returns the scores of the texts of a list by a version of the store, computed without the server."""
    adapter = load_adapter(store, domain, version, base)
    texts = [text.transcript for text in nbest.distinct()]
    rows = base.text_encoder.encode(texts, nbest.context, adapter.manifest.normalization, False)
    scores = RescoringModel(base).score(rows, [adapter.weights], [0] * len(rows)).tolist()
    return dict(zip(texts, scores, strict=True))


def assert_scored_by(ranked, expected):
    assert {h.transcript: h.rescoring_score for h in ranked.hypotheses} == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_version_changes_under_load_lose_and_mix_no_call(tiny_bert, base, store):
    """No call fails, each answer has the scores of a version that was stable during the call; no forged one serves."""
    store.publish(make_publication(base, "voice", seed=0), set_stable=True)
    with running_server(tiny_bert, store.url) as server:
        registry = server.app.registry
        timeline = StableTimeline(registry)
        with Callers(server.target) as callers:
            forged = write_forged_versions(store, base)
            for number in range(1, NUM_VERSIONS):
                if number % 4 == 0:
                    version, _ = forged[number // 4 - 1]
                    store.set_alias("voice", "stable", version)
                    until(lambda wanted=("voice", version): wanted in registry.domains.refused)
                version = store.publish(make_publication(base, "voice", seed=number), set_stable=True)
                until(lambda wanted=version: selected(registry, "voice").ref.version == wanted)
            store.set_alias("voice", "stable", forged[-1][0])
            until(lambda: ("voice", forged[-1][0]) in registry.domains.refused)
        listed = server.admin.ListAdapters(admin_pb2.ListAdaptersRequest(), timeout=WAIT_SECONDS).adapters
        refused = {info.version: info.reason for info in listed if info.state == admin_pb2.ADAPTER_STATE_REFUSED}
        samples = [server.sample("lorb_adapter_refused", domain="voice", version=version) for version, _ in forged]
    assert callers.errors == []
    assert refused.keys() == {version for version, _ in forged}
    for version, word in forged:
        assert word in refused[version]
    assert samples == [1] * 5
    assert len(timeline.spans) == NUM_VERSIONS
    versions = {ranked.adapter.version for _, _, _, ranked in callers.answers}
    assert versions <= {version for version, _, _ in timeline.spans}
    assert len(versions) > NUM_VERSIONS // 2
    for start, stop, _, ranked in callers.answers:
        assert ranked.outcome is Outcome.RESCORED
        assert ranked.adapter.version in timeline.versions_during(start, stop)
    for answer in callers.answers[:: max(1, len(callers.answers) // 50)]:
        _, _, nbest, ranked = answer
        assert_scored_by(ranked, expected_scores(store, base, "voice", ranked.adapter.version, nbest))


def test_concurrent_lists_of_three_domains_get_their_own_scores(tiny_bert, base, store, sample_dev):
    """Concurrent lists of three domains, single and in batches, get the scores of their own adapter."""
    versions = {
        domain: store.publish(make_publication(base, domain, seed=seed), set_stable=True)
        for seed, domain in enumerate(DOMAINS)
    }
    lists = [(domain, nbest) for domain in DOMAINS for nbest in sample_dev[:12]]
    with (
        running_server(tiny_bert, store.url) as server,
        Client(server.target, timeout_seconds=WAIT_SECONDS) as client,
        ThreadPoolExecutor(NUM_CALLERS) as callers,
    ):
        singles = [callers.submit(client.rescore, nbest, RescoreOptions(domain=domain)) for domain, nbest in lists]
        batches = {
            domain: callers.submit(client.rescore_batch, sample_dev[:12], RescoreOptions(domain=domain))
            for domain in DOMAINS
        }
        answers = [call.result() for call in singles]
        batched = [ranked for domain in DOMAINS for ranked in batches[domain].result()]
    for (domain, nbest), ranked, again in zip(lists, answers, batched, strict=True):
        expected = expected_scores(store, base, domain, versions[domain], nbest)
        for one in (ranked, again):
            assert (one.outcome, one.id) == (Outcome.RESCORED, nbest.id)
            assert one.adapter.version == versions[domain]
            firsts = {h.transcript: h.rescoring_score for h in one.hypotheses if h.transcript in expected}
            assert firsts == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_the_switching_margin_keeps_the_first_pass_best(tiny_bert, base, store, sample_dev):
    """With a margin of 3 the first-pass best stays first unless another hypothesis leads by more than 3."""
    lists = sample_dev[:40]
    for domain, margin in (("voice", 0.0), ("desk", 3.0)):
        ranking = replace(RANKING, switching_margin=margin)
        store.publish(make_publication(base, domain, ranking=ranking), set_stable=True)
    with running_server(tiny_bert, store.url) as server, Client(server.target, timeout_seconds=WAIT_SECONDS) as client:
        without_margin, with_margin = (
            [client.rescore(nbest, RescoreOptions(domain=domain)).hypotheses for nbest in lists]
            for domain in ("voice", "desk")
        )
    num_kept = 0
    for nbest, one, other in zip(lists, without_margin, with_margin, strict=True):
        combined = {h.index: h.combined_score for h in one}
        lead = one[0].combined_score - combined[0]
        is_kept = one[0].index != 0 and lead <= 3.0
        assert other[0].index == (0 if is_kept else one[0].index), nbest.id
        num_kept += is_kept
    assert 0 < num_kept < sum(each[0].index != 0 for each in without_margin)


def test_a_domain_published_later_is_served_without_a_restart(tiny_bert, base, store):
    """A server of an empty store serves no domain, and serves one as soon as it is published."""
    with running_server(tiny_bert, store.url) as server, Client(server.target) as client:
        assert client.server_info().domains == ()
        store.publish(make_publication(base, "voice"), set_stable=True)
        until(lambda: client.server_info().domains == ("voice",))

"""A real server, the real client, real stores: adapters published, flipped and forged while calls go on."""

import hashlib
import json
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lorb import Hypothesis, NBest, Outcome, RescoreOptions
from lorb.errors import LorbError
from lorb.v1 import admin_pb2
from lorb_adapters.base.loader import load_base
from lorb_adapters.lora.head import HeadWeights
from lorb_adapters.model import RescoringModel
from lorb_adapters.store.adapter import weights_digest
from lorb_adapters.store.verified_loading import load_adapter
from lorb_adapters.store.store import Store
from lorb_adapters.store.version_files import HEAD_WEIGHTS, LORA_WEIGHTS, MANIFEST, render_version
from lorb_client import Client
from support.adapters.publications import RANKING, make_publication
from support.servers.serving import WAIT_SECONDS, running_server, selected

NUM_CALLERS = 8
NUM_VERSIONS = 20
DOMAINS = ("voice", "radio", "desk")


def write_version(store, publication, change):
    """Puts a version into the store's folder, its files changed by `change`, as somebody with a shell could."""
    number = 1 + max(int(known.partition("-")[0]) for known in store.versions(publication.domain))
    version = f"{number}-{weights_digest(publication.weights)[:12]}"
    files = dict(render_version(publication, version, "2026-01-01T00:00:00+00:00"))
    change(files)
    folder = Path(store.url) / publication.domain / "versions" / version
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return version


def seal(files, name, content):
    """Replaces a file and makes the manifest agree with it."""
    files[name] = content
    manifest = json.loads(files[MANIFEST])
    manifest["file_sha256"][name] = hashlib.sha256(content).hexdigest()
    files[MANIFEST] = json.dumps(manifest).encode()


def torn_file(files):
    files[LORA_WEIGHTS] = files[LORA_WEIGHTS][: len(files[LORA_WEIGHTS]) // 2]


def wrong_digest(files):
    files[HEAD_WEIGHTS] = files[HEAD_WEIGHTS][:-1] + bytes([files[HEAD_WEIGHTS][-1] ^ 1])


def as_it_is(files):
    """The files are in order: what is wrong is what they say."""


def pickled_weights(files):
    seal(files, LORA_WEIGHTS, pickle.dumps({"lora": [1.0, 2.0]}))


def corrupt_versions(store, base):
    """Five versions that must never serve, with a word of each one's reason."""
    good = make_publication(base, "voice", seed=1000)
    nan_head = HeadWeights("sum", torch.full((base.hidden_size,), float("nan")), torch.zeros(()))
    nan = replace(good, weights=replace(good.weights, head=nan_head), golden_lists=())
    foreign = replace(make_publication(base, "voice", seed=1001), base_fingerprint="f" * 64)
    return [
        (write_version(store, good, torn_file), LORA_WEIGHTS),
        (write_version(store, make_publication(base, "voice", seed=1002), wrong_digest), HEAD_WEIGHTS),
        (write_version(store, foreign, as_it_is), "base"),
        (write_version(store, nan, as_it_is), "finite"),
        (write_version(store, make_publication(base, "voice", seed=1003), pickled_weights), LORA_WEIGHTS),
    ]


class StableTimeline:
    """Which version of `voice` a server served from when on, noted at each flip."""

    def __init__(self, registry):
        self._registry = registry
        self._replace = registry.domains.replace
        self.spans = [[selected(registry, "voice").ref.version, time.monotonic(), float("inf")]]
        registry.domains.replace = self._noted

    def _noted(self, name, domain):
        begin = time.monotonic()
        self._replace(name, domain)
        version = selected(self._registry, "voice").ref.version
        if version != self.spans[-1][0]:
            self.spans[-1][2] = time.monotonic()
            self.spans.append([version, begin, float("inf")])

    def versions_during(self, start, stop):
        """All versions that served at some time between two."""
        return {version for version, begin, end in self.spans if begin <= stop and end >= start}


class Callers:
    """Threads that call without pause and note every answer."""

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
    limit = time.monotonic() + 3 * WAIT_SECONDS
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.002)


@pytest.fixture(scope="module")
def base(tiny_bert):
    """The base as a trainer has it."""
    return load_base(str(tiny_bert))


@pytest.fixture
def store(tmp_path):
    """An empty store."""
    (tmp_path / "store").mkdir()
    return Store(str(tmp_path / "store"))


def expected_scores(store, base, domain, version, nbest):
    """What the shared model gives the list, loaded from the store and scored alone."""
    adapter = load_adapter(store, domain, version, base)
    texts = [text.transcript for text in nbest.distinct()]
    rows = base.text_encoder.encode(texts, nbest.context, adapter.manifest.normalization, False)
    scores = RescoringModel(base).score(rows, [adapter.weights], [0] * len(rows)).tolist()
    return dict(zip(texts, scores, strict=True))


def assert_scored_by(ranked, expected):
    assert {h.transcript: h.rescoring_score for h in ranked.hypotheses} == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_versions_change_under_load_without_a_lost_or_mixed_call(tiny_bert, base, store):
    """No call fails, every answer comes whole from a version that was stable during it, forged ones never serve."""
    store.publish(make_publication(base, "voice", seed=0), set_stable=True)
    with running_server(tiny_bert, store.url) as server:
        registry = server.app.registry
        timeline = StableTimeline(registry)
        with Callers(server.target) as callers:
            forged = corrupt_versions(store, base)
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


def test_no_list_gets_anothers_scores(tiny_bert, base, store, sample_dev):
    """Real lists of three domains, single and in batches, all at once: each has the scores its own model gives it."""
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


def test_the_switching_margin_of_an_adapter_is_honoured(tiny_bert, base, store, sample_dev):
    """Of two adapters that differ in it alone, the careful one keeps the first pass's best where the lead is small."""
    lists = sample_dev[:40]
    for domain, margin in (("voice", 0.0), ("desk", 3.0)):
        ranking = replace(RANKING, switching_margin=margin)
        store.publish(make_publication(base, domain, ranking=ranking), set_stable=True)
    with running_server(tiny_bert, store.url) as server, Client(server.target, timeout_seconds=WAIT_SECONDS) as client:
        bold, careful = (
            [client.rescore(nbest, RescoreOptions(domain=domain)).hypotheses for nbest in lists]
            for domain in ("voice", "desk")
        )
    num_kept = 0
    for nbest, one, other in zip(lists, bold, careful, strict=True):
        combined = {h.index: h.combined_score for h in one}
        lead = one[0].combined_score - combined[0]
        is_kept = one[0].index != 0 and lead <= 3.0
        assert other[0].index == (0 if is_kept else one[0].index), nbest.id
        num_kept += is_kept
    assert 0 < num_kept < sum(each[0].index != 0 for each in bold)


def test_a_domain_published_later_is_served_without_a_restart(tiny_bert, base, store):
    """An empty store serves nothing; what appears in it serves, by the client's own view."""
    with running_server(tiny_bert, store.url) as server, Client(server.target) as client:
        assert client.server_info().domains == ()
        store.publish(make_publication(base, "voice"), set_stable=True)
        until(lambda: client.server_info().domains == ("voice",))

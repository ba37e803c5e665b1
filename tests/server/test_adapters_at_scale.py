"""Three hundred adapters on a device that holds twenty, with real files and a whole server."""

import copy
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from lorb_adapters.json_files import canonical_json
from lorb_adapters.model import RescoringModel
from lorb_adapters.store.adapter import weights_digest
from lorb_adapters.store.aliases import Aliases
from lorb_adapters.store.layout import INDEX, aliases_path, version_path
from lorb_adapters.store.store import Store
from lorb_adapters.store.verified_loading import load_adapter
from lorb_adapters.store.version_files import render_version
from support.adapters.publications import make_publication
from support.adapters.random_adapters import random_adapter
from support.servers.serving import running_server

NUM_ADAPTERS = 300
ROOM_FOR = 20
TEXTS = ("the cat sat", "the cat sad")


@pytest.fixture(scope="module")
def store(publishing_base, tmp_path_factory):
    """Three hundred domains, each with its own adapter."""
    folder = tmp_path_factory.mktemp("large-store")
    first = make_publication(publishing_base, golden_lists=())
    for number in range(NUM_ADAPTERS):
        weights = random_adapter(publishing_base, number, rank=1)
        write_domain(folder, replace(first, domain=f"domain-{number:03}", weights=weights))
    (folder / INDEX).write_bytes(canonical_json({"schema_version": 1, "generation": 1}))
    return Store(str(folder))


def write_domain(folder, publication):
    """Writes a domain with one version, which is stable."""
    version = f"1-{weights_digest(publication.weights)[:12]}"
    place = folder / version_path(publication.domain, version)
    place.mkdir(parents=True)
    for name, content in render_version(publication, version, "2026-01-01T00:00:00+00:00").items():
        (place / name).write_bytes(content)
    aliases = Aliases().with_alias("stable", version).with_number(1)
    (folder / aliases_path(publication.domain)).write_bytes(canonical_json(aliases.to_json()))


def true_scores(store, base, names):
    """The scores of each domain's adapter, computed with that adapter alone."""
    model = RescoringModel(replace(base, encoder=copy.deepcopy(base.encoder)))  # a model changes its encoder
    scores = {}
    for name in names:
        [version] = store.versions(name)
        adapter = load_adapter(store, name, version, base)
        rows = base.text_encoder.encode(list(TEXTS), "", adapter.manifest.normalization, False)
        scores[name] = model.score(rows, [adapter.weights], [0] * len(rows)).tolist()
    return scores


def test_every_adapter_is_served_from_a_device_that_holds_few(store, tiny_bert, publishing_base):
    """Every call gets its own adapter's scores in any order of calls, and the memory of the device stays bounded."""
    model = RescoringModel(replace(publishing_base, encoder=copy.deepcopy(publishing_base.encoder)))
    adapter_bytes = model.encoder.served_bytes(random_adapter(publishing_base, rank=1))
    names = [f"domain-{number:03}" for number in range(NUM_ADAPTERS)]
    calls = names + names[::3]
    random.Random(7).shuffle(calls)
    with (
        running_server(tiny_bert, store.url, max_adapter_bytes=ROOM_FOR * adapter_bytes, score_cache_bytes=0) as server,
        ThreadPoolExecutor(8) as callers,
    ):
        assert server.sample("lorb_resident_adapters") == ROOM_FOR
        assert len(server.app.registry.served_domains()) == NUM_ADAPTERS
        answers = list(callers.map(lambda name: server.rescore(*TEXTS, domain=name), calls))
        assert server.sample("lorb_resident_adapters") == ROOM_FOR
        assert server.sample("lorb_resident_adapter_bytes") == ROOM_FOR * adapter_bytes
        assert server.sample("lorb_adapter_evictions_total") >= NUM_ADAPTERS - ROOM_FOR
        assert server.sample("lorb_adapter_bring_backs_total", result="loaded") > 0
        shown = [each for family in server.app.metrics.registry.collect() for each in family.samples]
        assert sum(each.name == "lorb_adapter_info" for each in shown) == ROOM_FOR
    expected = true_scores(store, publishing_base, names[::15])
    for name, answer in zip(calls, answers, strict=True):
        assert answer.adapter.domain == name
        if name in expected:
            scores = [h.rescoring_score for h in sorted(answer.hypotheses, key=lambda h: h.index)]
            assert scores == pytest.approx(expected[name], rel=1e-4, abs=1e-4)

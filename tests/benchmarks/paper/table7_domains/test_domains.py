"""Table 7: published adapters and models, the peers that load them, and memory."""

import pytest
import torch

from lorb_adapters.base.loader import load_base
from lorb_adapters.store.store import Store
from lorb_adapters.text import EncodedHypothesis, TextNormalization
from study.table7_domains.peers import MAX_TOKENS, Adapters, DomainRows, FullModels, PlainModels, passes
from study.table7_domains.process_memory import Resident
from study.table7_domains.published_models import altered, domain_name, publish_all
from study.table7_domains.stopwatch import Stopwatch
from support.adapters.publications import make_publication
from support.adapters.random_adapters import random_adapter

SMAPS = """55d0c000-7ffd1000 ---p 00000000 00:00 0    [rollup]
Rss:                1000 kB
Pss:                 600 kB
Anonymous:           400 kB
"""


@pytest.fixture(scope="module")
def published(tiny_bert, tmp_path_factory):
    """Adapters of three domains and two full models of a tiny base."""
    place = tmp_path_factory.mktemp("published")
    (place / "shipped").mkdir()
    Store(str(place / "shipped")).publish(make_publication(load_base(str(tiny_bert))), set_stable=True)
    publish_all(place / "made", 3, 2, place / "shipped")
    return place / "made"


@pytest.fixture(scope="module")
def lists(tiny_bert):
    """Two lists for each of the first two domains."""
    encoder = load_base(str(tiny_bert)).text_encoder
    texts = [["the cat sat", "a cat sat on"], ["it is", "is it so"], ["old men"], ["the old man is", "the"]]
    rows = [tuple(encoder.encode(each, "", TextNormalization(), uses_context=False)) for each in texts]
    return [DomainRows(number % 2, of_list) for number, of_list in enumerate(rows)]


def loaded(peer, count=2):
    """A peer with `count` domains loaded."""
    for number in range(count):
        peer.load(number)
    return peer


def test_each_domain_has_an_adapter_of_its_own(published):
    """The first is a copy of the shipped one, the others differ, and all pass their golden lists."""
    store = Store(str(published / "store"))
    assert store.domains() == [domain_name(number) for number in range(3)]
    digests = {store.manifest(name, store.versions(name)[0]).weights_digest for name in store.domains()}
    assert len(digests) == 3
    loaded(Adapters(published), 3)


def test_adapters_and_models_with_them_merged_score_alike(published, lists):
    """Scores agree in LoRB's engine and in transformers, with mixed batches or one domain after the other."""
    mixed = loaded(Adapters(published)).score(lists)
    by_domain = sorted(lists, key=lambda each: each.domain)
    apart = loaded(FullModels(published)).score(lists)
    assert apart == pytest.approx(loaded(Adapters(published)).score(by_domain), rel=1e-3, abs=1e-4)
    assert mixed == pytest.approx(loaded(PlainModels(published)).score(lists), rel=1e-3, abs=1e-4)


def test_adapters_share_the_weights_of_their_base(published):
    """A second adapter adds its own weights; a second model adds all weights again."""

    def sizes(kind):
        return [sum(each.numel() for each in loaded(kind(published), count).weights()) for count in (1, 2)]

    one, two = sizes(Adapters)
    assert two - one < one / 2
    for kind in (FullModels, PlainModels):
        one, two = sizes(kind)
        assert two == 2 * one


def test_full_models_stand_in_for_more_domains_than_there_are_on_disk(published, lists):
    """The third domain has the weights of the first one in a model of its own."""
    model = loaded(PlainModels(published), 3)
    third = [DomainRows(2, each.rows) for each in lists if each.domain == 0]
    assert model.score(third) == model.score([each for each in lists if each.domain == 0])


def test_altered_weights_are_near_and_of_the_same_shape(tiny_bert):
    """Noise depends on the seed; A does not change."""
    weights = random_adapter(load_base(str(tiny_bert)))
    one, again, other = altered(weights, 1), altered(weights, 1), altered(weights, 2)
    for site, (a, b) in weights.lora.items():
        assert torch.equal(one.lora[site][0], a)
        assert torch.equal(one.lora[site][1], again.lora[site][1])
        assert not torch.equal(one.lora[site][1], other.lora[site][1])
        assert float((one.lora[site][1] - b).std() / b.std()) == pytest.approx(0.05, rel=0.3)


def test_passes_hold_as_many_tokens_as_they_may():
    """Batches have whole lists in order; a list that is too long is alone."""
    row = EncodedHypothesis((1,) * (MAX_TOKENS // 4), (0,) * (MAX_TOKENS // 4), 1, False)
    lists = [DomainRows(0, (row,) * count) for count in (2, 2, 1, 5, 1)]
    assert [[len(each.rows) for each in part] for part in passes(lists)] == [[2, 2], [1], [5], [1]]
    assert list(passes([])) == []


def test_memory_is_read_in_bytes():
    """KiB of the kernel's file are converted to bytes, and measurements subtract field by field."""
    assert Resident.parse(SMAPS) == Resident(1000 * 1024, 600 * 1024, 400 * 1024)
    assert Resident(3, 2, 1) - Resident(1, 1, 1) == Resident(2, 1, 0)


def test_memory_held_is_seen():
    """64 MiB are measured while held, and not after they are freed."""
    before = Resident.now()
    held = torch.ones(2**24)
    with_it = Resident.now() - before
    del held
    assert with_it.anonymous == pytest.approx(2**26, rel=0.2)
    assert (Resident.now() - before).anonymous < 2**25


def test_a_stopwatch_keeps_clock_and_processor_apart():
    """Times are in the order of the calls, whose results are returned."""
    watch = Stopwatch()
    assert watch.time(lambda: sum(range(10))) == 45
    watch.time(lambda: None)
    assert len(watch.clock_seconds) == len(watch.processor_seconds) == 2
    assert watch.to_json().keys() == {"clock_seconds", "processor_seconds"}

"""Which base is taken where none is named: the store's adapters decide."""

from dataclasses import replace

import pytest

from lorb_adapters.store.choose_base import AUTO, choose_base
from lorb_adapters.store.signing import SigningKey, TrustedKeys
from lorb_adapters.store.store import Store
from support.adapters.publications import make_publication


@pytest.fixture
def publish(store_base, tmp_path):
    """Publishes a stable version of a domain whose trainer called its base by a name."""
    store = Store(str(tmp_path))

    def publish(domain, base_name, *, set_stable=True, signing_key=None):
        publication = make_publication(replace(store_base, name=base_name), domain)
        store.publish(publication, set_stable=set_stable, signing_key=signing_key)
        return store

    return publish


def test_the_stable_versions_decide(publish):
    """A store whose adapters are for one base is served on it."""
    publish("radio", "rescore-minilm")
    assert choose_base(AUTO, publish("voice", "rescore-minilm")) == "rescore-minilm"


def test_an_empty_store_means_minilm(tmp_path):
    """Nothing published, nothing to fit."""
    assert choose_base(AUTO, Store(str(tmp_path))) == "minilm"


def test_versions_that_do_not_serve_have_no_say(publish):
    """What was published without being made stable, and what cannot be read, counts for nothing."""
    publish("radio", "rescore-minilm", set_stable=False)
    assert choose_base(AUTO, publish("voice", "a-folder")) == "a-folder"


def test_a_torn_manifest_has_no_say(publish, tmp_path):
    """A version that will be refused does not keep a server from starting."""
    publish("radio", "rescore-minilm")
    for manifest in tmp_path.glob("radio/versions/*/manifest.json"):
        manifest.write_bytes(manifest.read_bytes()[:100])
    assert choose_base(AUTO, Store(str(tmp_path))) == "minilm"


def test_the_majority_wins_and_the_rest_is_told(publish, caplog):
    """Domains for different bases cannot all serve in one process: the log says how many do."""
    publish("radio", "rescore-minilm")
    publish("tv", "minilm")
    assert choose_base(AUTO, publish("voice", "rescore-minilm")) == "rescore-minilm"
    assert "as 2 of 3 stable versions have it" in caplog.text


def test_where_none_has_more_minilm_goes_first(publish):
    """The choice does not hang on the order of domains."""
    publish("a", "another")
    assert choose_base(AUTO, publish("b", "minilm")) == "minilm"


def test_who_has_no_key_has_no_say_where_keys_are_trusted(publish, keys):
    """Whoever can write to the store alone does not choose what is loaded; without trusted keys all count."""
    publish("voice", "minilm", signing_key=SigningKey(keys / "ours"))
    publish("a", "theirs", signing_key=SigningKey(keys / "theirs"))
    publish("b", "theirs")
    store = publish("c", "theirs")
    assert choose_base(AUTO, store, TrustedKeys(keys / "ours.pub")) == "minilm"
    assert choose_base(AUTO, store) == "theirs"


def test_a_forged_manifest_behind_a_signature_has_no_say(publish, keys, tmp_path):
    """What is counted is what was signed."""
    store = publish("voice", "rescore-minilm", signing_key=SigningKey(keys / "ours"))
    for manifest in tmp_path.glob("voice/versions/*/manifest.json"):
        forged = manifest.read_bytes().replace(b"rescore-minilm", b"theirs")
        manifest.unlink()
        manifest.write_bytes(forged)
    assert choose_base(AUTO, store, TrustedKeys(keys / "ours.pub")) == "minilm"


def test_a_named_base_is_taken_as_it_is(publish):
    """`auto` is the only name with a meaning of its own."""
    assert choose_base("minilm", publish("radio", "rescore-minilm")) == "minilm"

"""lorb_adapters.store.choose_base."""

from dataclasses import replace

import pytest

from lorb_adapters.store.choose_base import AUTO, choose_base
from lorb_adapters.store.signing import SigningKey, TrustedKeys
from lorb_adapters.store.store import Store
from support.adapters.publications import make_publication


@pytest.fixture
def publish(store_base, tmp_path):
    """Returns a function that publishes a version for a base of the given name and returns the store."""
    store = Store(str(tmp_path))

    def publish(domain, base_name, *, set_stable=True, signing_key=None):
        publication = make_publication(replace(store_base, name=base_name), domain)
        store.publish(publication, set_stable=set_stable, signing_key=signing_key)
        return store

    return publish


def test_the_stable_versions_decide(publish):
    """If all stable versions name one base, that base is chosen."""
    publish("radio", "rescore-minilm")
    assert choose_base(AUTO, publish("voice", "rescore-minilm")) == "rescore-minilm"


def test_an_empty_store_means_minilm(tmp_path):
    """For an empty store MiniLM is chosen."""
    assert choose_base(AUTO, Store(str(tmp_path))) == "minilm"


def test_only_stable_versions_count(publish):
    """A version that is not stable does not influence the choice."""
    publish("radio", "rescore-minilm", set_stable=False)
    assert choose_base(AUTO, publish("voice", "a-folder")) == "a-folder"


def test_a_truncated_manifest_is_ignored(publish, tmp_path):
    """An unreadable stable version does not influence the choice and raises nothing."""
    publish("radio", "rescore-minilm")
    for manifest in tmp_path.glob("radio/versions/*/manifest.json"):
        manifest.write_bytes(manifest.read_bytes()[:100])
    assert choose_base(AUTO, Store(str(tmp_path))) == "minilm"


def test_the_majority_wins_and_the_rest_is_logged(publish, caplog):
    """The base of most stable versions is chosen, and the log says how many versions it serves."""
    publish("radio", "rescore-minilm")
    publish("tv", "minilm")
    assert choose_base(AUTO, publish("voice", "rescore-minilm")) == "rescore-minilm"
    assert "2 of 3 stable versions were trained for it" in caplog.text


def test_a_tie_goes_to_minilm(publish):
    """A tie goes to MiniLM, independent of the order of the domains."""
    publish("a", "another")
    assert choose_base(AUTO, publish("b", "minilm")) == "minilm"


def test_with_trusted_keys_only_signed_versions_count(publish, keys):
    """With trusted keys only versions that they signed count; without them all stable versions count."""
    publish("voice", "minilm", signing_key=SigningKey(keys / "ours"))
    publish("a", "theirs", signing_key=SigningKey(keys / "theirs"))
    publish("b", "theirs")
    store = publish("c", "theirs")
    assert choose_base(AUTO, store, TrustedKeys(keys / "ours.pub")) == "minilm"
    assert choose_base(AUTO, store) == "theirs"


def test_a_changed_manifest_with_an_old_signature_is_ignored(publish, keys, tmp_path):
    """A manifest that was changed after it was signed does not influence the choice."""
    store = publish("voice", "rescore-minilm", signing_key=SigningKey(keys / "ours"))
    for manifest in tmp_path.glob("voice/versions/*/manifest.json"):
        forged = manifest.read_bytes().replace(b"rescore-minilm", b"theirs")
        manifest.unlink()
        manifest.write_bytes(forged)
    assert choose_base(AUTO, store, TrustedKeys(keys / "ours.pub")) == "minilm"


def test_a_named_base_is_returned_unchanged(publish):
    """Any name but "auto" is returned without reading the store."""
    assert choose_base("minilm", publish("radio", "rescore-minilm")) == "minilm"

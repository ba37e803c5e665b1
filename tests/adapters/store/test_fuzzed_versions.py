"""lorb_adapters.store.verified_loading on randomly edited versions."""

import pytest
from hypothesis import HealthCheck, given, settings

from lorb_adapters.base.loader import load_base
from lorb_adapters.store.signing import SigningKey, TrustedKeys, create_key_pair
from lorb_adapters.store.store import Store
from support.adapters.publications import make_publication
from support.faulty_input.fuzzed_versions import FuzzedVersion, cases


@pytest.fixture(scope="module")
def fuzzed(tiny_bert, tmp_path_factory):
    """A signed version, for a base that no other test uses."""
    folder = tmp_path_factory.mktemp("fuzzed")
    public, _ = create_key_pair(folder / "key")
    store = Store(str(folder / "store"))
    publication = make_publication(load_base(str(tiny_bert)), "voice")
    version = store.publish(publication, set_stable=True, signing_key=SigningKey(folder / "key"))
    return FuzzedVersion(store, version, load_base(str(tiny_bert)), TrustedKeys(public))


@settings(max_examples=120, suppress_health_check=list(HealthCheck))
@given(cases)
def test_an_edited_version_is_refused_or_the_same(fuzzed, case):
    """An edited version is refused or has the same weights; with trusted keys every edit is refused."""
    assert fuzzed.load_edited(*case) in ("refused", "loaded")

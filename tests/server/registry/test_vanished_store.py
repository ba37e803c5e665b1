"""lorb_server.registry.store_reader: a store that vanishes, goes back, or loses domains, aliases or versions."""

import asyncio
import json
import shutil
import time
from pathlib import Path

import pytest

from lorb.errors import StoreUnavailable
from lorb.v1 import rescoring_pb2 as pb
from lorb_adapters.store.store import Store
from support.adapters.catalogue import make_registry, run_registry, serves, version
from support.adapters.publications import make_publication
from support.servers.serving import WAIT_SECONDS, running_server


def _unmount(folder):
    for entry in folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _delete_index(folder):
    (folder / "index.json").unlink()


def _go_back(folder):
    _write_generation(folder, 1)


def _delete_aliases(folder):
    (folder / "voice" / "aliases.json").unlink()
    _write_generation(folder, 3)


def _delete_versions(folder):
    shutil.rmtree(folder / "voice" / "versions")
    _write_generation(folder, 3)


def _empty_domain(folder):
    _unmount(folder / "voice")
    _write_generation(folder, 3)


def _link_versions(folder):
    (folder / "voice" / "versions").rename(folder / ".elsewhere")
    (folder / "voice" / "versions").symlink_to(folder / ".elsewhere")
    _write_generation(folder, 3)


def _write_generation(folder, generation):
    new = folder / "index.new"
    new.write_text(json.dumps({"schema_version": 1, "generation": generation}))
    new.replace(folder / "index.json")


def until(condition):
    """Returns when `condition()` is true."""
    limit = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


@pytest.mark.parametrize(
    "vanish",
    [_unmount, _delete_index, _go_back, _delete_aliases, _delete_versions, _empty_domain, _link_versions],
)
def test_a_store_that_vanishes_drops_nothing(tiny_bert, publishing_base, store, vanish, tmp_path):
    """After any loss in the store, calls are answered and the error is counted; a restored store is followed."""
    store.publish(make_publication(publishing_base, "voice", seed=2), set_stable=True)
    folder, copy = Path(store.url), tmp_path / "copy"
    shutil.copytree(folder, copy)
    with running_server(tiny_bert, folder) as server:
        vanish(folder)
        until(lambda: server.sample("lorb_registry_errors_total"))
        assert server.rescore("the cat", "a cat").outcome == pb.OUTCOME_RESCORED
        _unmount(folder)
        shutil.copytree(copy, folder, dirs_exist_ok=True)
        newest = Store(folder)
        for seed in (3, 4):  # two changes: the index may have been at a newer generation than the copy
            last = newest.publish(make_publication(publishing_base, "voice", seed=seed), set_stable=True)
        until(lambda: server.rescore("the cat", "a cat").adapter.version == last)


def test_a_vanished_store_is_logged_once(parts, caplog):
    """A missing index is an error at every poll, but one line in the log; the recovery is another."""
    catalogue = parts[0]
    catalogue.set("voice", "stable", 1)
    registry = make_registry(parts)

    async def test():
        await registry.try_refresh()
        number, catalogue.number = catalogue.number, 0
        content, catalogue.content = catalogue.content, {}
        for _ in range(3):
            await registry.try_refresh()
        assert serves(registry) == version(1)
        catalogue.number, catalogue.content = number, content
        await registry.try_refresh()

    with caplog.at_level("INFO"):
        asyncio.run(test())
    assert parts[2].registry.get_sample_value("lorb_registry_errors_total") == 3
    messages = [record.message for record in caplog.records]
    assert messages == ["the store is not readable: the loaded versions keep serving", "the store is readable again"]
    assert "index.json is missing" in caplog.records[0].fields["reason"]


def test_an_older_store_is_followed_only_by_force():
    """A store whose generation goes back is an error, until an operator forces a refresh; an empty one stays one."""

    async def test(registry, catalogue, load, metrics):
        catalogue.set("voice", "stable", 1)
        catalogue.set("voice", "stable", 2)
        await registry.refresh()
        catalogue.set("voice", "stable", 1)
        catalogue.number = 1
        with pytest.raises(StoreUnavailable, match="from generation 2 to 1: .* or restart the server"):
            await registry.refresh()
        assert serves(registry) == version(2)
        await registry.refresh(force=True)
        assert serves(registry) == version(1)
        await registry.refresh()
        catalogue.number = 0
        with pytest.raises(StoreUnavailable, match="missing"):
            await registry.refresh(force=True)

    run_registry(test)


def test_a_domain_leaves_only_by_a_newer_index_or_by_force():
    """A domain that is gone under an unchanged index keeps serving; a newer index or a forced refresh drops it."""

    async def test(registry, catalogue, load, metrics):
        for domain in ("radio", "tv", "voice"):
            catalogue.set(domain, "stable", 1)
        catalogue.errors["tv"] = StoreUnavailable("tv/aliases.json is torn")
        await registry.try_refresh()
        del catalogue.content["radio"]
        with pytest.raises(StoreUnavailable):
            await registry.refresh()  # reads the same generation again, because `tv` was not readable
        assert serves(registry, "radio") == version(1)
        catalogue.errors.clear()
        with pytest.raises(StoreUnavailable, match="'radio' is gone .* or restart the server"):
            await registry.refresh()
        catalogue.change("tv")
        await registry.refresh()
        assert registry.served_domains() == ["tv", "voice"]
        del catalogue.content["tv"]
        await registry.refresh(force=True)
        assert registry.served_domains() == ["voice"]

    run_registry(test)


def test_a_store_that_vanishes_between_index_and_listing_drops_nothing():
    """A store that is unmounted after its new index was read and before its domains are listed is an error."""

    async def test(registry, catalogue, load, metrics):
        catalogue.set("voice", "stable", 1)
        await registry.refresh()
        catalogue.set("voice", "stable", 2)
        listed = catalogue.candidate_domains

        def vanish():
            catalogue.content.clear()
            catalogue.number = 0
            return listed()

        catalogue.candidate_domains = vanish
        with pytest.raises(StoreUnavailable, match="missing"):
            await registry.refresh()
        assert serves(registry) == version(1)

    run_registry(test)

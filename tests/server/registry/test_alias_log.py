"""lorb_server.registry.alias_log: each change of an alias is logged once, with who made it and what came of it."""

import threading
import time

import grpc
import pytest

from lorb.v1 import admin_pb2 as pb
from lorb_adapters.store.store import Store
from support.adapters.publications import make_publication
from support.servers.admin_calls import break_file
from support.servers.serving import WAIT_SECONDS, running_server


@pytest.fixture
def filled(tmp_path, publishing_base):
    """A store with three versions of `voice`, the second stable."""
    (tmp_path / "filled").mkdir()
    store = Store(str(tmp_path / "filled"))
    for seed in (1, 2, 3):
        store.publish(make_publication(publishing_base, "voice", seed=seed), set_stable=seed < 3)
    return store


@pytest.fixture
def served(tiny_bert, filled, tmp_path):
    """A server of that store with tokens of the operators alice and bob; it reads the store only on request."""
    (tmp_path / "operators").write_text("alice:secret\nbob:secret-too\n")
    settings = {"admin_token_file": str(tmp_path / "operators"), "poll_seconds": 1000.0}
    with running_server(tiny_bert, filled.url, **settings) as server:
        yield server


ALICE = {"metadata": (("authorization", "Bearer secret"),), "timeout": WAIT_SECONDS}
BOB = {"metadata": (("authorization", "Bearer secret-too"),), "timeout": WAIT_SECONDS}


def logged(caplog, message="alias changed"):
    return [record.fields for record in caplog.records if record.message == message]


def test_a_change_by_an_operator_is_logged_with_the_name(served, filled, caplog):
    """SetAlias and Rollback each log the alias, both versions, the operator's name and that the version is served."""
    caplog.set_level("INFO")
    second, third = filled.versions("voice")[1:]
    served.admin.SetAlias(pb.SetAliasRequest(domain="voice", alias="stable", version=third), **ALICE)
    served.admin.Rollback(pb.RollbackRequest(domain="voice"), **ALICE)
    common = {"domain": "voice", "alias": "stable", "by": "alice", "outcome": "served"}
    assert logged(caplog) == [{**common, "from": second, "to": third}, {**common, "from": third, "to": second}]


@pytest.mark.parametrize("method", ["set_alias", "rollback"])
def test_overlapping_calls_on_one_alias_are_logged_with_their_own_operators(
    served, filled, caplog, monkeypatch, method
):
    """Alice's call begins and ends while bob's waits for the store: each change is logged with who made it."""
    caplog.set_level("INFO")
    first, second, third = filled.versions("voice")
    entered, gate = threading.Event(), threading.Event()
    change = getattr(served.app.store, method)

    def held(*arguments):
        if method == "rollback" or first in arguments:
            entered.set()
            assert gate.wait(WAIT_SECONDS)
        return change(*arguments)

    monkeypatch.setattr(served.app.store, method, held)
    if method == "rollback":
        bobs = served.admin.Rollback.future(pb.RollbackRequest(domain="voice"), **BOB)
    else:
        bobs = served.admin.SetAlias.future(pb.SetAliasRequest(domain="voice", alias="stable", version=first), **BOB)
    assert entered.wait(WAIT_SECONDS)
    served.admin.SetAlias(pb.SetAliasRequest(domain="voice", alias="stable", version=third), **ALICE)
    gate.set()
    bobs.result(WAIT_SECONDS)
    target = second if method == "rollback" else first
    made = [(each["from"], each["to"], each["by"]) for each in logged(caplog)]
    assert made == [(second, third, "alice"), (third, target, "bob")]


def test_a_rollback_that_only_completes_a_killed_one_is_logged(served, filled, caplog):
    """A Rollback call after a rollback whose process was killed says in the log that it completed it."""
    caplog.set_level("INFO")
    first, second, _ = versions = filled.versions("voice")
    filled._change_aliases("voice", lambda aliases: aliases.with_rollback_begun(frozenset(versions)))
    message = "Rollback completed an earlier rollback that was killed"
    assert served.admin.Rollback(pb.RollbackRequest(domain="voice"), **ALICE).version == first
    began = filled.aliases("voice").history[-1].time
    assert logged(caplog, message) == [{"caller": "alice", "domain": "voice", "version": first, "began": began}]
    filled.set_alias("voice", "stable", second)
    assert served.admin.Rollback(pb.RollbackRequest(domain="voice"), **ALICE).version == first
    assert len(logged(caplog, message)) == 1


def test_a_change_in_the_store_is_logged(served, filled, caplog):
    """A change by a command is logged as made by the store when the server reads it, and only once."""
    caplog.set_level("INFO")
    third = filled.versions("voice")[2]
    filled.set_alias("voice", "canary", third, 0.1)
    for _ in range(2):
        served.admin.RefreshRegistry(pb.RefreshRegistryRequest(), **ALICE)
    filled.set_alias("voice", "canary", third, 0.2)
    filled.remove_alias("voice", "canary")
    served.admin.RefreshRegistry(pb.RefreshRegistryRequest(), **ALICE)
    common = {"domain": "voice", "alias": "canary", "by": "store"}
    assert logged(caplog) == [
        {**common, "from": "", "to": third, "share": 0.1, "outcome": "served"},
        {**common, "from": third, "to": "", "outcome": "removed"},
    ]


def test_a_change_to_a_version_that_cannot_serve_is_logged_with_the_reason(served, filled, caplog):
    """If the store's new version is refused, the line has the reason and the version that keeps serving."""
    caplog.set_level("INFO")
    second, third = filled.versions("voice")[1:]
    break_file(filled, "voice", third)
    filled.set_alias("voice", "stable", third)
    served.admin.RefreshRegistry(pb.RefreshRegistryRequest(), **ALICE)
    [change] = logged(caplog)
    assert (change["to"], change["outcome"], change["serves"], change["by"]) == (third, "refused", second, "store")
    assert "sha256" in change["reason"] or "digest" in change["reason"]


def test_an_admin_call_that_fails_is_logged_with_the_reason(served, filled, caplog):
    """A refused SetAlias logs the operator, the method and the reason, and no change."""
    caplog.set_level("INFO")
    message = pb.SetAliasRequest(domain="voice", alias="stable", version="9-0123456789ab")
    with pytest.raises(grpc.RpcError):
        served.admin.SetAlias(message, **ALICE)
    [failed] = logged(caplog, "admin call failed")
    assert (failed["caller"], failed["method"]) == ("alice", "SetAlias")
    assert "has no version 9-0123456789ab" in failed["reason"]
    assert logged(caplog) == []


def test_a_poll_logs_the_change_of_a_command(tiny_bert, filled, caplog):
    """A server that polls the store logs a command's change by itself; the start logs none."""
    caplog.set_level("INFO")
    with running_server(tiny_bert, filled.url):
        assert logged(caplog) == []
        filled.set_alias("voice", "stable", filled.versions("voice")[2])
        give_up_at = time.monotonic() + WAIT_SECONDS
        while not logged(caplog) and time.monotonic() < give_up_at:
            time.sleep(0.01)
        assert [(change["by"], change["outcome"]) for change in logged(caplog)] == [("store", "served")]

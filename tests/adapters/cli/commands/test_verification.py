"""lorb_adapters.cli.commands.verification."""

import shutil
from pathlib import Path

from support.adapters.publications import make_publication


def test_verify_finds_the_bad_version(store, run):
    """`verify` names a bad version with the reason and exits with status 1."""
    first, second = store.versions("voice")
    assert run("verify")[0] == 0
    (Path(store.url) / "voice/versions" / first / "head.safetensors").write_bytes(b"changed")
    status, out, _ = run("verify")
    assert status == 1
    assert out.splitlines() == [
        f"voice\t{first}\tInvalidAdapter: head.safetensors is truncated or changed: "
        "its sha256 is not the one in manifest.json",
        f"voice\t{second}\tok",
    ]
    assert run("verify", "voice")[0] == 1
    assert run("verify", "voice@stable")[0] == 0


def test_verify_finds_an_alias_without_a_version(store, run):
    """`verify` names an alias whose version does not exist and exits with status 1."""
    first, second = store.versions("voice")
    assert run("promote", "voice", first, "--alias", "canary", "--share", "0.1")[0] == 0
    shutil.rmtree(Path(store.url) / "voice/versions" / first)
    advice = "promote another version, or unalias it"
    gone = f"voice\tcanary\tUnknownVersion: it points at {first}, which does not exist: {advice}"
    for arguments in ((), ("voice",)):
        status, out, _ = run("verify", *arguments)
        assert (status, out.splitlines()) == (1, [f"voice\t{second}\tok", gone])
    shutil.rmtree(Path(store.url) / "voice/versions" / second)
    status, out, _ = run("verify")
    assert (status, len(out.splitlines())) == (1, 2)


def test_verify_with_a_base_reproduces_golden_scores(store, store_base, tiny_bert, run):
    """`verify --base` finds a version that does not reproduce its golden scores."""
    other = make_publication(store_base, seed=5, golden_lists=make_publication(store_base).golden_lists)
    bad = store.publish(other, set_stable=False)
    status, out, _ = run("verify", "--base", tiny_bert)
    assert status == 1
    assert [line.rsplit("\t")[-1][:14] for line in out.splitlines()] == ["ok", "ok", "InvalidAdapter"]
    assert f"voice\t{bad}\tInvalidAdapter: golden_lists[0]" in out

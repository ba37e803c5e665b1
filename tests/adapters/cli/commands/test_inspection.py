"""lorb_adapters.cli.commands.inspection."""

import hashlib
import json
import sys
from pathlib import Path


def test_list_shows_versions_and_aliases(store, run):
    """`list` prints one line per version, tab-separated if the output is not a terminal."""
    first, second = store.versions("voice")
    store.set_alias("voice", "canary", first, 0.05)
    status, out, _ = run("list")
    rows = [line.split("\t") for line in out.splitlines()]
    assert status == 0
    assert [row[:3] for row in rows] == [["voice", first, "canary 5%"], ["voice", second, "stable"]]
    assert run("list", "--domain", "voice")[1] == out


def test_list_shows_a_version_that_cannot_be_read(store, run):
    """A version with a truncated manifest is listed with the reason, and the others are listed as usual."""
    first, second = store.versions("voice")
    (Path(store.url) / "voice/versions" / first / "manifest.json").write_text("{")
    status, out, _ = run("list")
    assert status == 0
    assert "unreadable: manifest.json is not JSON" in out.splitlines()[0]
    assert out.splitlines()[1].startswith(f"voice\t{second}\tstable")


def test_list_draws_a_table_on_a_terminal(store, run, monkeypatch):
    """On a terminal the output has a heading, and brackets in a text are not markup."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    (Path(store.url) / "voice/versions" / store.versions("voice")[0] / "[bold].bin").write_bytes(b"x")
    assert "domain" in run("list")[1]
    assert "'[bold].bin' does not belong in a version" in run("verify")[1]


def test_show_prints_the_manifest(store, run):
    """`show` prints the manifest and aliases of a domain's stable version, an alias or a version, also as JSON."""
    first, second = store.versions("voice")
    assert f"version\t{second}" in run("show", "voice")[1]
    assert f"version\t{first}" in run("show", f"voice@{first}")[1]
    shown = json.loads(run("show", "voice@stable", "--json")[1])
    assert shown["manifest"] == json.loads(json.dumps(store.manifest("voice", second).to_json()))
    assert shown["aliases"]["aliases"] == {"stable": {"version": second}}
    digest = hashlib.sha256(store.read_files("voice", second)["manifest.json"]).hexdigest()
    assert shown["manifest_sha256"] == digest
    assert f"(sha256 of manifest.json)\t{digest}" in run("show", "voice")[1]

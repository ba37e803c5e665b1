"""lorb_adapters.cli.adapters."""

import hashlib
import json
import shutil
import sys
from pathlib import Path

import pytest

from lorb_adapters.cli import adapters as cli
from lorb_adapters.store.store import Store
from support.adapters.publications import make_publication


@pytest.fixture
def store(tmp_path, store_base, monkeypatch) -> Store:
    """A store of two versions of `voice`, the second one stable."""
    store = Store(str(tmp_path / "store"))
    for seed in range(2):
        store.publish(make_publication(store_base, seed=seed), set_stable=True)
    monkeypatch.setenv("LORB_STORE", store.url)
    return store


@pytest.fixture
def run(capsys):
    """Runs a command line; returns exit status, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        status = cli.main([*map(str, arguments)])
        return status, *capsys.readouterr()

    return run


def test_list_shows_versions_and_aliases(store, run):
    """`list` prints one line a version, with tabs when the output is not a terminal."""
    first, second = store.versions("voice")
    store.set_alias("voice", "canary", first, 0.05)
    status, out, _ = run("list")
    rows = [line.split("\t") for line in out.splitlines()]
    assert status == 0
    assert [row[:3] for row in rows] == [["voice", first, "canary 5%"], ["voice", second, "stable"]]
    assert run("list", "--domain", "voice")[1] == out


def test_list_shows_a_version_that_cannot_be_read(store, run):
    """A version with a torn manifest is listed with the reason, and the others are listed as usual."""
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


def test_verify_finds_the_bad_version(store, run):
    """`verify` names a bad version with the reason and exits with status 1."""
    first, second = store.versions("voice")
    assert run("verify")[0] == 0
    (Path(store.url) / "voice/versions" / first / "head.safetensors").write_bytes(b"torn")
    status, out, _ = run("verify")
    assert status == 1
    assert out.splitlines() == [
        f"voice\t{first}\tInvalidAdapter: head.safetensors is torn or changed: "
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


def test_promote_and_rollback_flip_aliases(store, run):
    """`promote`, `rollback` and `unalias` change the aliases and print the change."""
    first, second = store.versions("voice")
    assert run("promote", "voice", first)[:2] == (0, f"voice@stable: {second} -> {first}\n")
    assert run("promote", "voice", second, "--alias", "canary", "--share", "0.1")[0] == 0
    assert store.aliases("voice").by_name["canary"].share == 0.1
    assert run("promote", "voice", "canary")[1] == f"voice@stable: {first} -> {second}\n"
    assert run("rollback", "voice")[1] == f"voice@stable: {second} -> {first}\n"
    assert run("unalias", "voice", "canary")[1] == f"voice@canary: {second} -> none\n"
    assert set(store.aliases("voice").by_name) == {"stable"}


def test_prune_prints_what_it_removes(store, store_base, run):
    """`prune` prints what it removed, would remove, or that there is nothing to remove."""
    third = store.publish(make_publication(store_base, seed=2, golden_lists=()), set_stable=True)
    first, second, _ = store.versions("voice")
    assert run("prune", "voice", "--keep", "1", "--dry-run")[1] == f"would remove voice {first}\n"
    assert run("prune", "voice", "--keep", "1")[1] == f"removed voice {first}\n"
    assert run("prune", "voice", "--keep", "1")[1] == "nothing to remove\n"
    assert store.versions("voice") == [second, third]


def test_a_version_can_be_exported_and_imported(store, run, tmp_path, monkeypatch):
    """A version exported to a tar and imported elsewhere has the same id and the same files."""
    version = store.aliases("voice").version("stable")
    assert run("export", "voice", tmp_path / "voice.tar")[0] == 0
    monkeypatch.setenv("LORB_STORE", str(tmp_path / "other"))
    assert run("import", tmp_path / "voice.tar", "--promote")[1].endswith(f"-> voice {version}\n")
    other = Store(str(tmp_path / "other"))
    assert other.aliases("voice").version("stable") == version
    assert dict(other.read_files("voice", version)) == dict(store.read_files("voice", version))
    folder = Path(store.url) / "voice/versions" / version
    assert run("import", folder)[0] == 0


def test_a_changed_version_is_not_exported(store, run, tmp_path):
    """Exporting a version with a changed file fails and writes no tar."""
    version = store.aliases("voice").version("stable")
    (Path(store.url) / "voice/versions" / version / "report.md").write_text("torn")
    status, _, err = run("export", "voice", tmp_path / "voice.tar")
    assert (status, err) == (
        2,
        _line("report.md is torn or changed: its sha256 is not the one in manifest.json"),
    )
    assert not (tmp_path / "voice.tar").exists()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["show", "video"], "the store has no domain 'video'"),
        (["show", "../../etc"], "domain '../../etc' is not a name"),
        (["show", "voice@shadow"], "there is no alias 'shadow'"),
        (["promote", "voice", "9-0123456789ab"], "has no version 9-0123456789ab"),
        (["promote", "voice", "stable", "--alias", "canary"], "share is None"),
        (["promote", "voice", "stable", "--alias", "2nd"], "begins with a digit"),
        (["prune", "voice", "--keep", "-1"], "keep is -1"),
        (["import", "nowhere.tar"], "nowhere.tar"),
        (["verify", "--base", "no/such/base"], "base 'no/such/base'"),
    ],
)
def test_an_error_is_one_line_and_status_2(store, run, arguments, problem):
    """A user's mistake prints one line on stderr and exits with status 2."""
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("lorb-adapters: ")
    assert err.count("\n") == 1
    assert problem in err


def test_the_store_comes_from_the_flag_before_the_environment(store, run, tmp_path, monkeypatch):
    """--store before or after the command wins over LORB_STORE; without either the error says what to give."""
    assert run("list", "--store", tmp_path / "nowhere")[0] == 2
    assert run("--store", tmp_path / "nowhere", "list")[0] == 2
    monkeypatch.delenv("LORB_STORE")
    assert run("--store", store.url, "list")[0] == 0
    assert run("list", "--store", store.url)[0] == 0
    status, _, err = run("list")
    assert (status, err) == (2, _line("which store? Give --store or set LORB_STORE"))


def test_help_needs_no_store(capsys):
    """Every command prints its help without a store."""
    for command in ["list", "show", "verify", "promote", "rollback", "unalias", "prune", "export", "import"]:
        with pytest.raises(SystemExit) as caught:
            cli.main([command, "--help"])
        assert caught.value.code == 0
        assert f"usage: lorb-adapters {command}" in capsys.readouterr().out


def _line(message: str) -> str:
    return f"lorb-adapters: {message}\n"

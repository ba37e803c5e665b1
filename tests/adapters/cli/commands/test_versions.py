"""lorb_adapters.cli.commands.versions."""

from pathlib import Path

from lorb_adapters.store.store import Store
from support.adapters.publications import make_publication


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
    (Path(store.url) / "voice/versions" / version / "report.md").write_text("changed")
    status, _, err = run("export", "voice", tmp_path / "voice.tar")
    assert (status, err) == (
        2,
        "lorb-adapters: report.md is truncated or changed: its sha256 is not the one in manifest.json\n",
    )
    assert not (tmp_path / "voice.tar").exists()

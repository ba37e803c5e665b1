"""The content of a local store, and changes of it."""

from lorb_adapters.store.storage.local_folder import LocalFolder


def tree(storage: LocalFolder) -> dict[str, bytes]:
    """Every file of the store except its lock."""
    return {
        str(path.relative_to(storage.root)): path.read_bytes()
        for path in sorted(storage.root.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def change_everything(storage: LocalFolder) -> None:
    """Five writes, then four renames: a new folder, a new file, a replaced file, a removed folder."""
    with storage.change() as change:
        change.put_folder("b/two", {"x": b"x", "y": b"y"})
        change.put_file("b/new", b"new")
        change.put_file("a/file", b"after")
        change.remove_folder("a/one", "z")


def change_a_and_b(storage: LocalFolder) -> None:
    """Replaces a file in one folder, then writes one in another."""
    with storage.change() as change:
        change.put_file("a/file", b"after")
        change.put_file("b/file", b"x")

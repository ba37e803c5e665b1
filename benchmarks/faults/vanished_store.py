"""The store of a running server vanishes: its folder is unmounted, its index or its aliases are deleted.

    python benchmarks/faults/vanished_store.py
    python benchmarks/faults/vanished_store.py --commands FOLDER --release before

Calls must be answered as before, and the error must be counted. A server that is started on an empty folder with
--minimum-domains must not be SERVING. Needs root and Linux, to mount. Adds to
benchmarks/results/faults_of_issues.jsonl.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from fault_figures import FaultFigure, parse_arguments, report_figures
from hung_store import LIST, errors_counted, has_flag, wait_for
from server_process import STORE, ServerProcess, server_process

from lorb import RescoreOptions
from lorb.errors import LorbError
from lorb_client import Client

WAIT_SECONDS = 5.0


def vanished_store(commands: Path, name: str, vanish: Callable[[Path], None]) -> Iterator[FaultFigure]:
    """The figures of a server whose store `vanish` makes away with."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        store.mkdir()
        subprocess.run(["/bin/mount", "-t", "tmpfs", "none", store], check=True)
        try:
            shutil.copytree(STORE, store, dirs_exist_ok=True)
            with server_process(commands, "--store", store) as server:
                vanish(store)
                counted = wait_for(lambda: errors_counted(server) > 0, WAIT_SECONDS)
                measured = "error not counted within 5 s" if counted is None else f"error counted after {counted:.1f} s"
                yield FaultFigure(f"{name}: error", measured, counted, counted is not None)
                time.sleep(1.0)
                answer = _answer(server)
                yield FaultFigure(f"{name}: calls", answer, None, answer == "rescored")
        finally:
            subprocess.run(["/bin/umount", "-l", store], check=False, stderr=subprocess.DEVNULL)


def empty_store(commands: Path) -> Iterator[FaultFigure]:
    """The figure of a server that is started on an empty folder and expects a domain."""
    flags = ("--minimum-domains", 1) if has_flag(commands, "--minimum-domains") else ()
    with tempfile.TemporaryDirectory() as folder, server_process(commands, "--store", folder, *flags) as server:
        command = [commands / "lorb-health", "--target", server.target]
        is_serving = subprocess.run(command, capture_output=True, check=False).returncode == 0
        measured = "health SERVING" if is_serving else "health NOT_SERVING"
        yield FaultFigure("empty store at the start: health", measured, None, not is_serving)


def _unmount(store: Path) -> None:
    subprocess.run(["/bin/umount", "-l", store], check=True)


def _delete_index(store: Path) -> None:
    (store / "index.json").unlink()


def _delete_aliases(store: Path) -> None:
    """Deletes the aliases; a publication of another domain then makes the server read the store."""
    (store / "librispeech" / "aliases.json").unlink()
    index = json.loads((store / "index.json").read_text())
    index["generation"] += 1
    (store / "index.new").write_text(json.dumps(index))
    (store / "index.new").replace(store / "index.json")


def _answer(server: ServerProcess) -> str:
    with Client(server.target) as client:
        try:
            return client.rescore(LIST, RescoreOptions(domain="librispeech")).outcome.value
        except LorbError as error:
            return f"{type(error).__name__}: {error.message}"


def main() -> int:
    """Runs every way to vanish. Returns the exit status."""
    arguments = parse_arguments(__doc__)
    figures: list[FaultFigure] = []
    for name, vanish in (
        ("store unmounted", _unmount),
        ("index.json deleted", _delete_index),
        ("aliases.json deleted", _delete_aliases),
    ):
        figures += vanished_store(arguments.commands, name, vanish)
    figures += empty_store(arguments.commands)
    return report_figures(arguments.release, figures)


if __name__ == "__main__":
    sys.exit(main())

"""The folder of a run: what it is a run of, and its last checkpoint. A kill at any moment leaves it whole."""

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from lorb.errors import InvalidInput
from lorb_adapters.training.encoder.layer_cache import LayerCache

_RUN, _CHECKPOINT, _LOCK = "run.json", "checkpoint.safetensors", ".lock"
TRAINING, TRAINED, FINISHED = "training", "trained", "finished"


class RunFolder:
    """One run's folder, held by one process at a time.

    run.json says what the run is (`identity`), how far it is (`status`: "training"; "trained", but not published;
    "finished"), how often it was resumed, and the store's last number before it published. checkpoint.safetensors
    is a TrainingState.
    """

    def __init__(self, path: Path) -> None:
        """Makes the folder where there is none; raises InvalidInput where another process holds it."""
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock: TextIO = open(path / _LOCK, "w")  # noqa: SIM115 - held as long as the process lives
        except OSError as error:
            raise InvalidInput(
                f"run-dir {path} cannot be made or written: {error.strerror}", field="run-dir"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise InvalidInput(
                f"another process is training in {path}: wait for it, or give another --run-dir", field="run-dir"
            ) from error
        self._record: dict[str, Any] = {}

    @property
    def num_resumes(self) -> int:
        """How often the run has gone on after a stop."""
        return int(self._record["resumed"])

    def start(self, identity: Mapping[str, Any]) -> None:
        """Begins a run that is new. Raises InvalidInput where one stopped here that has a checkpoint to go on from."""
        before = self._read()
        if before is not None and before["status"] == TRAINING and (self.path / _CHECKPOINT).exists():
            raise InvalidInput(
                f"{self.path} holds a run that has not ended: go on with it with --resume, start over with --restart, "
                "or give another --run-dir",
                field="run-dir",
            )
        self.restart(identity)

    def restart(self, identity: Mapping[str, Any]) -> None:
        """Begins anew, whatever is here."""
        (self.path / _CHECKPOINT).unlink(missing_ok=True)
        LayerCache.remove(self.path)
        self._write({"status": TRAINING, "resumed": 0, "outcome": "", "identity": _plain(identity)})

    def resume(self, identity: Mapping[str, Any]) -> None:
        """Goes on. Raises InvalidInput where there is nothing to go on with, or naming what differs."""
        before = self._read()
        if before is None:
            raise InvalidInput(f"{self.path} holds no run to resume: start one without --resume", field="resume")
        if before["status"] == FINISHED:
            raise InvalidInput(
                f"the run in {self.path} has finished ({before['outcome']}): there is nothing to resume", field="resume"
            )
        differences = _differences(before["identity"], _plain(identity))
        if differences:
            raise InvalidInput(
                f"the run in {self.path} cannot be resumed by this command: {'; '.join(differences)}. Give what it was "
                "begun with, or start over with --restart",
                field="resume",
            )
        self._write(before | {"status": TRAINING, "resumed": before["resumed"] + 1})

    def load(self) -> bytes:
        """The last checkpoint; empty where there is none yet."""
        path = self.path / _CHECKPOINT
        return path.read_bytes() if path.exists() else b""

    def save(self, checkpoint: bytes) -> None:
        """Keeps a checkpoint; the one before it stays until this one is whole on the disk.

        Raises InvalidInput where it cannot be written.
        """
        try:
            _replace(self.path / _CHECKPOINT, checkpoint)
        except OSError as error:
            raise InvalidInput(
                f"a checkpoint of {len(checkpoint) / 2**20:,.0f} MiB cannot be written to {self.path} "
                f"({error.strerror}): mend that, and go on from the one before with --resume",
                field="run-dir",
            ) from error

    def publishing_after(self, place: str, last_number: int) -> int:
        """The last number in `place` when this run first set out to publish there; `last_number`, if that is now."""
        note = self._record.get("publishing", {})
        if note.get("place") != place:
            note = {"place": place, "after": last_number}
            self._write(self._record | {"publishing": note})
        return int(note["after"])

    def end(self, status: str, outcome: str) -> None:
        """Says how the run ended. What is only needed to go on with it is removed; "trained" keeps the checkpoint."""
        self._write(self._record | {"status": status, "outcome": outcome})
        LayerCache.remove(self.path)
        if status == FINISHED:
            (self.path / _CHECKPOINT).unlink(missing_ok=True)

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets another process have the folder."""
        self._lock.close()

    @staticmethod
    def status(path: Path) -> str:
        """How far the run in a folder is; empty where there is none."""
        try:
            return str(json.loads((path / _RUN).read_text(encoding="utf-8"))["status"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def _read(self) -> dict[str, Any] | None:
        try:
            record: dict[str, Any] = json.loads((self.path / _RUN).read_text(encoding="utf-8"))
            if not {"status", "resumed", "outcome", "identity"} <= record.keys():
                raise ValueError("a key is missing")
        except FileNotFoundError:
            return None
        except (ValueError, AttributeError) as problem:
            raise InvalidInput(
                f"{self.path / _RUN} is not a run's record ({problem}): start over with --restart", field="run-dir"
            ) from problem
        return record

    def _write(self, record: dict[str, Any]) -> None:
        self._record = record
        _replace(self.path / _RUN, json.dumps(record, indent=2).encode())


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(f"{path.name}.partial")
    with open(partial, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name too
    finally:
        os.close(folder)


def _plain(identity: Mapping[str, Any]) -> dict[str, Any]:
    """As it reads back from a file: tuples are lists."""
    plain: dict[str, Any] = json.loads(json.dumps(identity))
    return plain


def _differences(before: object, now: object, name: str = "") -> list[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [*before, *(key for key in now if key not in before)]
        return [
            difference
            for key in keys
            for difference in _differences(before.get(key), now.get(key), f"{name}.{key}" if name else str(key))
        ]
    return [] if before == now else [f"{name} was {_short(before)} and is {_short(now)}"]


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."

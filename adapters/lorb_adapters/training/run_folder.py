"""The folder of a run, with its record, last checkpoint and lock. It stays consistent if the process is killed."""

import fcntl
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from lorb.errors import InvalidInput
from lorb_adapters.atomic_files import atomic_file
from lorb_adapters.training.encoder.layer_cache import LayerCache

START, RESUME, RESTART = "start", "resume", "restart"
TRAINING, TRAINED, FINISHED = "training", "trained", "finished"
_RECORD, _CHECKPOINT, _LOCK = "run.json", "checkpoint.safetensors", ".lock"


@dataclass(frozen=True, slots=True)
class CheckpointOptions:
    """Where and how a run keeps its checkpoints.

    Attributes:
        folder: holds the checkpoint and the cached hidden states of frozen layers.
        start_mode: "start" begins a run, "resume" continues the run in the folder, "restart" discards it and begins a
            new run.
        checkpoint_seconds: seconds between checkpoints.
    """

    folder: Path
    start_mode: str = START
    checkpoint_seconds: float = 60.0


class RunFolder:
    """The folder of one run, locked by one process at a time.

    run.json records the values that decide the result (`identity`), the `status` of the run, how often it was resumed,
    and the domain's last version number before the run published. The statuses are "training", "trained" (but nothing
    was published, because dev did not improve) and "finished". checkpoint.safetensors holds a TrainingState.
    """

    def __init__(self, path: Path) -> None:
        """Creates the folder if necessary and locks it. Raises InvalidInput if another process has locked it."""
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock: TextIO = open(path / _LOCK, "w")  # noqa: SIM115 - open as long as the folder is locked
        except OSError as error:
            raise InvalidInput(
                f"run-dir {path} cannot be created or written: {error.strerror}", field="run-dir"
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
        """How often the run was resumed."""
        return int(self._record["resumed"])

    def begin(self, start_mode: str, identity: Mapping[str, Any]) -> None:
        """Starts, resumes or restarts the run that `identity` describes.

        Raises InvalidInput if the state of the folder does not allow it.
        """
        {START: self.start, RESUME: self.resume, RESTART: self.restart}[start_mode](identity)

    def start(self, identity: Mapping[str, Any]) -> None:
        """Starts a run. Raises InvalidInput if the folder has a run with a checkpoint: it would be lost."""
        record = self._read()
        if record is not None and (self.path / _CHECKPOINT).exists():
            holds, go_on = "an unfinished run", "continue it with --resume, "
            if record["status"] == TRAINED:
                holds = "a trained adapter that was not published"
                go_on = "repeat the command with --resume --force to publish it without training again, "
            differences = _differences(record["identity"], _as_json(identity))
            if differences:  # this command cannot resume the run
                holds, go_on = f"{holds}, and its run differs from this command ({'; '.join(differences)})", ""
            raise InvalidInput(
                f"{self.path} holds {holds}: {go_on}start over with --restart, or give another --run-dir",
                field="run-dir",
            )
        self.restart(identity)

    def restart(self, identity: Mapping[str, Any]) -> None:
        """Discards an earlier run, whatever its state, and starts a new one."""
        (self.path / _CHECKPOINT).unlink(missing_ok=True)
        LayerCache.remove(self.path)
        self._write({"status": TRAINING, "resumed": 0, "outcome": "", "identity": _as_json(identity)})

    def resume(self, identity: Mapping[str, Any]) -> None:
        """Resumes the run. Raises InvalidInput if there is no run, the run has finished, or `identity` differs."""
        record = self._read()
        if record is None:
            raise InvalidInput(f"{self.path} holds no run to resume: start one without --resume", field="resume")
        if record["status"] == FINISHED:
            raise InvalidInput(
                f"the run in {self.path} has finished ({record['outcome']}): there is nothing to resume",
                field="resume",
            )
        differences = _differences(record["identity"], _as_json(identity))
        if differences:
            raise InvalidInput(
                f"the run in {self.path} cannot be resumed by this command: {'; '.join(differences)}. Repeat the "
                "run's own settings, or start over with --restart",
                field="resume",
            )
        self._write(record | {"status": TRAINING, "resumed": record["resumed"] + 1})

    def load(self) -> bytes:
        """Returns the last checkpoint; empty if there is none."""
        path = self.path / _CHECKPOINT
        return path.read_bytes() if path.exists() else b""

    def save(self, checkpoint: bytes) -> None:
        """Replaces the checkpoint; the old one remains until the new one is on disk.

        Raises InvalidInput if the new one cannot be written.
        """
        try:
            with atomic_file(self.path / _CHECKPOINT, "run-dir", sync=True) as file:
                file.write(checkpoint)
        except InvalidInput as error:
            raise InvalidInput(
                f"a checkpoint of {len(checkpoint) / 2**20:,.0f} MiB: {error.message}: solve the problem, and "
                "continue from the last checkpoint with --resume",
                field="run-dir",
            ) from error

    def last_number_before_publishing(self, place: str, last_number: int) -> int:
        """Returns the last version number in `place` before this run first tried to publish there.

        last_number: the last version number now. The first call for a place records it and returns it; later calls
        return the recorded number.
        """
        attempt = self._record.get("publishing", {})
        if attempt.get("place") != place:
            attempt = {"place": place, "after": last_number}
            self._write(self._record | {"publishing": attempt})
        return int(attempt["after"])

    def end(self, status: str, outcome: str) -> None:
        """Records how the run ended; removes the layer cache and, if the status is "finished", the checkpoint."""
        self._write(self._record | {"status": status, "outcome": outcome})
        LayerCache.remove(self.path)
        if status == FINISHED:
            (self.path / _CHECKPOINT).unlink(missing_ok=True)

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Unlocks the folder."""
        self._lock.close()

    @staticmethod
    def status(path: Path) -> str:
        """Returns the status of the run in a folder; empty if there is no run."""
        try:
            return str(json.loads((path / _RECORD).read_text(encoding="utf-8"))["status"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def _read(self) -> dict[str, Any] | None:
        try:
            record: dict[str, Any] = json.loads((self.path / _RECORD).read_text(encoding="utf-8"))
            if not {"status", "resumed", "outcome", "identity"} <= record.keys():
                raise ValueError("a key is missing")
        except FileNotFoundError:
            return None
        except (ValueError, AttributeError) as problem:
            raise InvalidInput(
                f"{self.path / _RECORD} is not the record of a run ({problem}): start over with --restart",
                field="run-dir",
            ) from problem
        return record

    def _write(self, record: dict[str, Any]) -> None:
        self._record = record
        with atomic_file(self.path / _RECORD, "run-dir", sync=True) as file:
            file.write(json.dumps(record, indent=2).encode())


def _as_json(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `identity` as it reads back from JSON: tuples become lists."""
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

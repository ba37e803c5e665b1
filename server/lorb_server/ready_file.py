"""The ready file tells scripts that the server serves, and on which ports."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from lorb.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports that the server listens on.

    `admin_port` is None if the admin service is off; `metrics_port` is None if the metrics are off.
    """

    port: int
    admin_port: int | None
    metrics_port: int | None


class ReadyFile:
    """The ready file of one server; with an empty path, every method does nothing."""

    def __init__(self, path: str) -> None:
        self._path = Path(path) if path else None
        self._is_written = False

    def clear(self) -> None:
        """Removes the file that a killed server left behind. Raises InvalidInput if the file cannot be removed."""
        if self._path is not None:
            try:
                self._path.unlink(missing_ok=True)
            except OSError as error:
                raise self._failure(error) from error

    def write(self, ports: Ports) -> None:
        """Writes the ports and the process id as JSON, in one atomic step. Raises InvalidInput if writing fails."""
        if self._path is None:
            return
        temporary = self._path.with_name(self._path.name + ".tmp")
        try:
            temporary.write_text(json.dumps({**asdict(ports), "pid": os.getpid()}))
            temporary.replace(self._path)
        except OSError as error:
            raise self._failure(error) from error
        self._is_written = True

    def remove(self) -> None:
        """Removes the file if this server wrote it. Otherwise, the file may belong to another server."""
        if self._path is not None and self._is_written:
            self._path.unlink(missing_ok=True)

    def _failure(self, error: OSError) -> InvalidInput:
        return InvalidInput(f"--ready-file {self._path}: {error.strerror}", field="ready_file")

"""The ready file tells scripts that the server serves, and on which ports."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from lorb.errors import InvalidInput


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

    def write(self, ports: Mapping[str, int | None]) -> None:
        """Writes the ports and the process id as JSON, in one atomic step. Raises InvalidInput if writing fails."""
        if self._path is None:
            return
        temporary = self._path.with_name(self._path.name + ".tmp")
        try:
            temporary.write_text(json.dumps({**ports, "pid": os.getpid()}))
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

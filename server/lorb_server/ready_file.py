"""The file that tells scripts that the server serves, and where."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from lorb.errors import InvalidInput


class ReadyFile:
    """Is there while this server serves; none where no path is given."""

    def __init__(self, path: str) -> None:
        self._path = Path(path) if path else None
        self._is_ours = False

    def clear(self) -> None:
        """Takes away what a server that was killed left behind; raises InvalidInput where that cannot be."""
        if self._path is not None:
            try:
                self._path.unlink(missing_ok=True)
            except OSError as error:
                raise self._refusal(error) from error

    def write(self, ports: Mapping[str, int | None]) -> None:
        """In one step, so that whoever waits for the file reads it whole; raises InvalidInput where it cannot be."""
        if self._path is None:
            return
        written = self._path.with_name(self._path.name + ".tmp")
        try:
            written.write_text(json.dumps({**ports, "pid": os.getpid()}))
            written.replace(self._path)
        except OSError as error:
            raise self._refusal(error) from error
        self._is_ours = True

    def remove(self) -> None:
        """Takes it away, unless this server has not written it: another may be serving."""
        if self._path is not None and self._is_ours:
            self._path.unlink(missing_ok=True)

    def _refusal(self, error: OSError) -> InvalidInput:
        return InvalidInput(f"--ready-file {self._path}: {error.strerror}", field="ready_file")

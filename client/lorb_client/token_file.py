"""A bearer token in a file, which may change while a client lives."""

from pathlib import Path

from lorb.errors import InvalidInput


class TokenFile:
    """Holds one token; read again when the file changes. Safe to share between threads."""

    def __init__(self, path: Path | str) -> None:
        """Raises InvalidInput where the file holds no token."""
        self.path = Path(path)
        self._seen = self._stamp(), self._read()

    @property
    def token(self) -> str:
        """The token as it stands now; the last good one where the file is being replaced."""
        stamp, token = self._seen
        try:
            if (now := self._stamp()) != stamp:
                token = self._read()
                self._seen = now, token
        except InvalidInput:
            return token
        return token

    def __reduce__(self) -> tuple[type["TokenFile"], tuple[Path]]:
        return TokenFile, (self.path,)

    def _stamp(self) -> tuple[int, int, int]:
        try:
            found = self.path.stat()
        except OSError as error:
            raise InvalidInput(f"{self.path}: the token cannot be read: {error.strerror}") from error
        return found.st_ino, found.st_size, found.st_mtime_ns

    def _read(self) -> str:
        try:
            token = self.path.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise InvalidInput(f"{self.path}: the token cannot be read: {reason}") from error
        if not token:
            raise InvalidInput(f"{self.path}: the token file is empty")
        return check_token(token, f"{self.path}: the token")


def check_token(token: str, name: str) -> str:
    """Returns `token` if it can travel in a call's metadata; raises InvalidInput otherwise."""
    if not (token and token.isascii() and token.isprintable()):
        raise InvalidInput(f"{name} is not one line of printable ASCII", field="token")
    return token

"""A bearer token in a file, which may change while a client lives."""

from pathlib import Path

from lorb.credential_files import CredentialFile
from lorb.errors import InvalidInput


class TokenFile:
    """Holds one token; read again when the file changes. Safe to share between threads."""

    def __init__(self, path: Path | str) -> None:
        """Raises InvalidInput where the file holds no token."""
        self.path = Path(path)
        self._file = CredentialFile(self.path, "token", "the token file")
        self._seen = self._file.stamp(), self._read()

    @property
    def token(self) -> str:
        """The token as it stands now; the last good one where the file is being replaced."""
        stamp, token = self._seen
        try:
            if (now := self._file.stamp()) != stamp:
                token = self._read()
                self._seen = now, token
        except InvalidInput:
            return token
        return token

    def __reduce__(self) -> tuple[type["TokenFile"], tuple[Path]]:
        return TokenFile, (self.path,)

    def _read(self) -> str:
        token = self._file.read_text().strip()
        if not token:
            raise InvalidInput(f"{self._file} is empty", field="token")
        return check_token(token, f"{self._file}: the token")


def check_token(token: str, name: str) -> str:
    """Returns `token` if it can travel in a call's metadata; raises InvalidInput otherwise."""
    if not (token and token.isascii() and token.isprintable()):
        raise InvalidInput(f"{name} is not one line of printable ASCII", field="token")
    return token

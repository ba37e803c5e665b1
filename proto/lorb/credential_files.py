"""Files that prove who somebody is: certificates, private keys, tokens. Read, checked, and seen to change."""

import os
import ssl
from dataclasses import dataclass
from pathlib import Path

from lorb.errors import InvalidInput

Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class CredentialFile:
    """A file, and how errors speak of it.

    Attributes:
        path: where it is.
        field: the setting that names it, as `InvalidInput.field`.
        setting: how people know that setting, such as "--tls-key"; messages name it before the path.
    """

    path: Path
    field: str
    setting: str = ""

    def __str__(self) -> str:
        return f"{self.setting} {self.path}".lstrip()

    def stamp(self) -> Stamp | None:
        """Other than before where the file was replaced or written; None where there is none that can be looked at."""
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    def read(self) -> bytes:
        """What it holds. Raises InvalidInput naming it."""
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise InvalidInput(f"{self}: {error.strerror}", field=self.field) from error

    def read_text(self) -> str:
        """The same as text. Raises InvalidInput naming it."""
        try:
            return self.read().decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{self}: not UTF-8", field=self.field) from error


def check_pair(certificate: CredentialFile, key: CredentialFile) -> None:
    """Raises InvalidInput naming the files where they are not a certificate in PEM and the private key to it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_cert_chain(certificate.path, key.path, password=_no_password)
    except _Encrypted:
        raise InvalidInput(
            f"{key}: the key has a password, which nobody is there to type: store it without", field=key.field
        ) from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise InvalidInput(f"{certificate} and {key} do not belong together", field=key.field) from error
        raise InvalidInput(
            f"{certificate} and {key} are not a certificate and its private key in PEM "
            f"({error.reason or 'no PEM in them'})",
            field=certificate.field,
        ) from error
    except OSError as error:
        raise InvalidInput(f"{certificate} and {key}: {error.strerror}", field=certificate.field) from error


def check_ca(file: CredentialFile, content: bytes) -> None:
    """Raises InvalidInput naming the file where its content is no CA certificate in PEM."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=content.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:  # ValueError: empty, or not ASCII
        raise InvalidInput(f"{file}: no CA certificate in PEM", field=file.field) from error


class _Encrypted(Exception):
    """The key wants a password."""


def _no_password() -> str:
    raise _Encrypted

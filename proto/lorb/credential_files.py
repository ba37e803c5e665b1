"""Reads and checks files that hold certificates, private keys or tokens. Detects when such a file changes."""

import os
import ssl
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lorb.errors import InvalidInput

Parsed = TypeVar("Parsed")
ChangeToken = tuple[int, int, int]  # inode, size in bytes, modification time in nanoseconds

_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC  # a blocking open of a named pipe would wait for a writer


@dataclass(frozen=True, slots=True)
class CredentialFile:
    """A credential file, and how error messages name it.

    Attributes:
        path: the file.
        field: value of `InvalidInput.field` in errors about the file.
        setting: words before the path in messages, such as the flag "--tls-key"; may be empty.
    """

    path: Path
    field: str
    setting: str = ""

    def __str__(self) -> str:
        return f"{self.setting} {self.path}".lstrip()

    def change_token(self) -> ChangeToken | None:
        """Returns a value that changes when the file is written or replaced.

        Returns None if there is no file, or if it is a pipe or another special file.
        """
        try:
            status = os.stat(self.path)
        except OSError:
            return None
        return (status.st_ino, status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None

    def read(self, *, from_pipe: bool = False) -> bytes:
        """Returns the content.

        Raises InvalidInput that names the file if it cannot be read, or if it is no regular file: a pipe without a
        writer would never end. With `from_pipe`, it may be a pipe, such as the shell's `<(command)`, and the call waits
        for the pipe's end.
        """
        try:
            descriptor = os.open(self.path, _OPEN)
            try:
                mode = os.fstat(descriptor).st_mode
                if from_pipe and stat.S_ISFIFO(mode):
                    os.set_blocking(descriptor, True)
                elif not stat.S_ISREG(mode):
                    raise InvalidInput(f"{self}: not a regular file", field=self.field)
                with open(descriptor, "rb", closefd=False) as file:
                    return file.read()
            finally:
                os.close(descriptor)
        except OSError as error:
            raise InvalidInput(f"{self}: {error.strerror}", field=self.field) from error

    def read_text(self, *, from_pipe: bool = False) -> str:
        """Returns the content as text. Raises InvalidInput in the same cases as `read`, and if it is not UTF-8."""
        try:
            return self.read(from_pipe=from_pipe).decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{self}: not UTF-8", field=self.field) from error

    def parse_lines(self, parse: Callable[[str], Parsed]) -> list[Parsed]:
        """Returns `parse(line)` of each line, stripped. Skips empty lines and lines that begin with "#".

        Raises InvalidInput in the same cases as `read_text`. An InvalidInput of `parse` gets the file and line number.
        """
        parsed = []
        for number, line in enumerate(self.read_text().splitlines(), start=1):
            if (text := line.strip()) and not text.startswith("#"):
                try:
                    parsed.append(parse(text))
                except InvalidInput as problem:
                    raise InvalidInput(f"{self}:{number}: {problem.message}", field=self.field) from None
        return parsed


def check_pair(certificate: CredentialFile, key: CredentialFile) -> None:
    """Checks that two PEM files hold a certificate and its private key. Raises InvalidInput if they do not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_cert_chain(certificate.path, key.path, password=_refuse_password)
    except _EncryptedKey:
        raise InvalidInput(
            f"{key}: the key is encrypted with a password: store it unencrypted", field=key.field
        ) from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise InvalidInput(f"{certificate} and {key} do not belong together", field=key.field) from error
        raise InvalidInput(
            f"{certificate} and {key} are not a certificate and its private key in PEM "
            f"({error.reason or 'no PEM data'})",
            field=certificate.field,
        ) from error
    except OSError as error:
        raise InvalidInput(f"{certificate} and {key}: {error.strerror}", field=certificate.field) from error


def check_ca(file: CredentialFile, content: bytes) -> None:
    """Checks that the content of `file` is a CA certificate in PEM. Raises InvalidInput if it is not."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=content.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:  # ValueError: the content is empty, or not ASCII
        raise InvalidInput(f"{file}: no CA certificate in PEM", field=file.field) from error


class _EncryptedKey(Exception):
    """The private key needs a password."""


def _refuse_password() -> str:
    raise _EncryptedKey

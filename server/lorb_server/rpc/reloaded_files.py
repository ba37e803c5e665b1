"""Keeps the content of credential files, and reads changed files again without holding up calls."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from typing import Generic, TypeVar

from lorb.credential_files import ChangeToken, CredentialFile
from lorb.errors import InvalidInput
from lorb_server.telemetry.caller_metrics import CallerMetrics
from lorb_server.telemetry.logs import log_failure

READ_SECONDS = 0.5  # how long a call or a connection waits for a check of the files

Content = TypeVar("Content")

_log = logging.getLogger(__name__)


class ReloadedFiles(Generic[Content]):
    """The content of some files, which may change while the server runs. May be used on any thread.

    Whoever asks for the content starts a check of the files if one is due. The check runs on a daemon thread: a read
    that never returns (a hung network file system) holds up neither the event loop nor the end of the process. A check
    that fails, or that takes longer than `read_seconds`, is logged and counted, and the previous content stays in use.

    A front process that is restarted may find files that have become unusable. It then has no previous content: with
    `refuse_all`, this is the content until the files are usable.
    """

    def __init__(
        self,
        files: Sequence[CredentialFile],
        read: Callable[[], Content],
        metrics: CallerMetrics,
        *,
        check_seconds: float,
        refuse_all: Content | None = None,
        read_seconds: float = READ_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`read` returns the content of `files`. At most one check begins in `check_seconds`.

        `refuse_all` is a content that lets nobody in. Without it, raises InvalidInput, with flag and file, if a file is
        not usable.
        """
        self._files = files
        self._read = read
        self._metrics = metrics
        self._check_seconds = check_seconds
        self._read_seconds = read_seconds
        self._clock = clock
        self._lock = threading.Lock()  # guards the four fields of the check, never held while a file is read
        self._check: Future[None] | None = None
        self._is_hung = False
        self._next_check_at = clock() + check_seconds
        self._last_error = ""
        # of the files when the content was read; None before they were usable
        self._change_tokens: tuple[ChangeToken | None, ...] | None = None
        change_tokens = self._read_change_tokens()
        try:
            self._content = read()
            self._change_tokens = change_tokens
        except InvalidInput as error:
            if refuse_all is None:
                raise
            self._content = refuse_all
            self._report("unusable", error.message)

    def latest(self) -> Content:
        """The content. Blocks until a check that is due has ended, but at most `read_seconds`."""
        check = self._due_check()
        if check is not None:
            wait([check], self._read_seconds)
            self._report_if_hung(check)
        return self._content

    async def latest_async(self) -> Content:
        """The content. Waits until a check that is due has ended, but at most `read_seconds`."""
        check = self._due_check()
        if check is not None:
            await asyncio.wait([asyncio.wrap_future(check)], timeout=self._read_seconds)
            self._report_if_hung(check)
        return self._content

    def _due_check(self) -> Future[None] | None:
        """The check to wait for: one that begins now or has just begun. None if none is due, or if it hangs."""
        with self._lock:
            now = self._clock()
            is_due = now >= self._next_check_at
            if is_due:
                self._next_check_at = now + self._check_seconds
            if self._check is None and is_due:
                self._check = Future()
                threading.Thread(target=self._run, args=(self._check,), name="credentials", daemon=True).start()
            elif self._is_hung:
                if is_due:
                    self._count("hung")
                return None
            return self._check

    def _run(self, check: Future[None]) -> None:
        try:
            self._reload()
        except InvalidInput as error:
            self._report("unusable", error.message)
        except Exception as error:
            log_failure(_log, "reading a credential file failed", error)
            self._report("unusable", type(error).__name__)
        finally:
            with self._lock:
                self._check, self._is_hung = None, False
            check.set_result(None)

    def _reload(self) -> None:
        change_tokens = self._read_change_tokens()
        if change_tokens == self._change_tokens:
            self._last_error = ""
            return
        content = self._read()
        if self._read_change_tokens() == change_tokens:  # else a file changed meanwhile: the next check reads again
            self._change_tokens, self._content, self._last_error = change_tokens, content, ""
            _log.info("credential files reloaded", extra={"fields": {"files": [str(file) for file in self._files]}})

    def _report_if_hung(self, check: Future[None]) -> None:
        with self._lock:
            if self._check is not check or self._is_hung:
                return
            self._is_hung = True
        self._report("hung", f"{self._files[0]}: reading takes longer than {self._read_seconds:g} s")

    def _report(self, reason: str, message: str) -> None:
        self._count(reason)
        if message != self._last_error:  # logged once, not at every check
            self._last_error = message
            effect = "all calls are refused" if self._change_tokens is None else "its previous content stays in use"
            _log.error(f"a credential file is not usable: {effect}", extra={"fields": {"reason": message}})

    def _count(self, reason: str) -> None:
        self._metrics.count_credential_error(self._files[0].field, reason)

    def _read_change_tokens(self) -> tuple[ChangeToken | None, ...]:
        return tuple(file.change_token() for file in self._files)

"""AccessFiles: checks the token and TLS files of an asyncio client without holding up its event loop."""

import asyncio
import contextlib
import threading
from concurrent.futures import Future

from lorb_client.calls import CallSettings, ChangeTokens, Metadata

CHECK_SECONDS = 0.5  # how long a call waits for the check of the files


class AccessFiles:
    """The metadata of calls and the change tokens of the TLS files, as of the last check. For one event loop.

    Each call checks the files, or joins the check under way. The check runs on a daemon thread: a file system that
    hangs holds up neither the event loop nor the end of the process. After CHECK_SECONDS a call goes on with the values
    of the last check; while that check hangs, further calls do not wait.
    """

    def __init__(self, settings: CallSettings) -> None:
        self._settings = settings
        self._check: Future[None] | None = None
        self._is_hung = False
        self._latest = self._read()

    async def latest(self) -> tuple[Metadata, ChangeTokens]:
        """Returns the metadata of a call and the change tokens of the TLS files."""
        if not self._settings.has_files:
            return self._latest
        if self._check is None or self._check.done():
            self._check, self._is_hung = self._start(), False
        if not self._is_hung:
            check = self._check
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.wrap_future(check), CHECK_SECONDS)
            if check is self._check:
                self._is_hung = not check.done()
        return self._latest

    def _start(self) -> Future[None]:
        check: Future[None] = Future()
        check.set_running_or_notify_cancel()  # a call that is cancelled while it waits does not cancel the check
        threading.Thread(target=self._run, args=(check,), name="lorb-access-files", daemon=True).start()
        return check

    def _run(self, check: Future[None]) -> None:
        try:
            self._latest = self._read()
        finally:
            check.set_result(None)

    def _read(self) -> tuple[Metadata, ChangeTokens]:
        return self._settings.metadata, self._settings.change_tokens()

"""lorb_client.access_files: the asyncio client's token and TLS files never hold up its event loop."""

import asyncio
import os
import threading

import pytest

from lorb_client import AioClient, Tls, TokenFile, access_files
from lorb_client.access_files import AccessFiles
from lorb_client.calls import CallSettings
from support.servers.certificates import Authority


class HangingTokenFile(TokenFile):
    """A token file whose file system hangs while `answers` is cleared; notes the threads that read it."""

    def __init__(self, path):
        super().__init__(path)
        self.answers = threading.Event()
        self.answers.set()
        self.threads = []

    @property
    def token(self):
        self.threads.append(threading.current_thread())
        assert self.answers.wait(10), "the reader was held up"
        return super().token


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "token"
    path.write_text("first")
    file = HangingTokenFile(path)
    yield file
    file.answers.set()


@pytest.fixture
def sent(target, service, sample_lists):
    """Makes calls with a token file, each after a change; returns the tokens that the server received."""

    async def make_calls(file, *changes):
        async with AioClient(target, timeout_seconds=10, token=file) as client:
            for change in changes:
                change()
                await client.rescore(sample_lists[0])

    def run(file, *changes):
        asyncio.run(make_calls(file, *changes))
        return [metadata["authorization"] for *_, metadata in service.calls]

    return run


def test_the_token_file_is_read_on_another_thread(token_file, sent):
    """Calls check the token file on another thread than the event loop's, and send a changed token at once."""
    tokens = sent(token_file, lambda: token_file.threads.clear(), lambda: token_file.path.write_text("second"))
    assert tokens == ["Bearer first", "Bearer second"]
    assert threading.current_thread() not in token_file.threads
    assert all(thread.daemon for thread in token_file.threads)


def test_a_hanging_token_file_stops_no_call(token_file, sent, monkeypatch):
    """While the file system hangs, calls send the previous token, and one thread waits for it however many calls."""
    monkeypatch.setattr(access_files, "CHECK_SECONDS", 0.01)
    tokens = sent(token_file, token_file.answers.clear, *[lambda: None] * 3)
    assert tokens == ["Bearer first"] * 4
    assert len(token_file.threads) <= 2  # the client's start, and the check that hangs


def test_a_token_file_that_becomes_a_pipe_stops_no_call(tmp_path, sent):
    """The previous token is sent when a pipe without a writer takes the place of the file."""
    path = tmp_path / "token"
    path.write_text("first")
    os.mkfifo(tmp_path / "pipe")
    assert sent(TokenFile(path), lambda: os.replace(tmp_path / "pipe", path)) == ["Bearer first"]


def test_the_files_are_read_again_after_the_file_system_answers(token_file, monkeypatch):
    """After a hang, the next check gives the changed token."""
    monkeypatch.setattr(access_files, "CHECK_SECONDS", 0.01)

    async def tokens():
        files = AccessFiles(CallSettings("localhost:1", token=token_file))
        token_file.answers.clear()
        token_file.path.write_text("second")
        yield (await files.latest())[0]
        while len(token_file.threads) < 2:
            await asyncio.sleep(0)
        token_file.answers.set()
        token_file.threads[-1].join()
        yield (await files.latest())[0]

    async def collected():
        return [metadata[0][1] async for metadata in tokens()]

    assert asyncio.run(collected()) == ["Bearer first", "Bearer second"]


def test_a_cancelled_call_does_not_cancel_the_check(token_file):
    """A call that is cancelled while it waits for the check leaves the check to the other calls."""

    async def cancelled():
        files = AccessFiles(CallSettings("localhost:1", token=token_file))
        token_file.answers.clear()
        first, second = asyncio.create_task(files.latest()), asyncio.create_task(files.latest())
        while len(token_file.threads) < 2:
            await asyncio.sleep(0)
        first.cancel()
        token_file.answers.set()
        return await asyncio.gather(first, second, return_exceptions=True)

    first, second = asyncio.run(cancelled())
    assert isinstance(first, asyncio.CancelledError)
    assert second == ((("authorization", "Bearer first"),), ())
    assert len(token_file.threads) == 2


def test_changed_tls_files_are_noticed(tmp_path):
    """The change tokens of the TLS files are those of the files as they are now."""
    authority = Authority(tmp_path, "ca")
    settings = CallSettings("localhost:1", tls=Tls(authority.path))

    async def latest():
        files = AccessFiles(settings)
        before = await files.latest()
        os.utime(authority.path, (1, 1))
        return before, await files.latest()

    before, after = asyncio.run(latest())
    assert before != after == ((), settings.change_tokens())


def test_without_files_no_thread_starts(monkeypatch):
    """A client with a token of its own checks nothing."""

    def refuse(*_, **__):
        raise AssertionError("a thread was started")

    async def latest():
        files = AccessFiles(CallSettings("localhost:1", token="abc"))
        monkeypatch.setattr(threading.Thread, "start", refuse)
        return await files.latest()

    assert asyncio.run(latest()) == ((("authorization", "Bearer abc"),), ())

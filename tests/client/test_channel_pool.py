"""lorb_client.channel_pool: new channels for new certificates."""

import pytest

from lorb.errors import InvalidInput
from lorb_client import Tls
from lorb_client.calls import CallSettings
from lorb_client.channel import open_channel
from lorb_client.channel_pool import ChannelPool
from support.servers.certificates import Authority


@pytest.fixture
def pair(tmp_path):
    """A client certificate and key in files that a test replaces."""
    return Authority(tmp_path, "ca").issue("decoder")


@pytest.fixture
def pool(pair):
    """A pool of real channels that connect to nothing."""
    settings = CallSettings("localhost:1", tls=Tls(None, *pair))
    pool = ChannelPool(settings, open_channel)
    pool.for_call = lambda: pool.acquire(settings.change_tokens())
    yield pool
    for channel in pool.channels():
        channel.close()


def replaced(pair, folder):
    """Makes another pair, and returns a function for each file that replaces it."""
    folder.mkdir()
    new = Authority(folder, "other").issue("decoder")
    return [lambda old=old, now=now: old.write_bytes(now.read_bytes()) for old, now in zip(pair, new, strict=True)]


def test_as_long_as_no_file_changes_all_calls_share_a_channel(pool):
    """Without changed files all calls share one channel, and it is never closed."""
    first, second = pool.for_call(), pool.for_call()
    assert first.channel is second.channel
    assert pool.release(first) == pool.release(second) == []


def test_a_call_under_way_keeps_its_channel(pool, pair, tmp_path):
    """After a change a new call gets a new channel, and the old one is closed after its last call."""
    old = pool.for_call()
    for write in replaced(pair, tmp_path / "new"):
        write()
    new = pool.for_call()
    assert new.channel is not old.channel
    assert pool.channels() == [new.channel, old.channel]
    assert pool.release(new) == []
    assert pool.release(old) == [old.channel]
    assert pool.channels() == [new.channel]
    old.channel.close()


def test_an_idle_channel_is_closed_after_a_change(pool, pair, tmp_path):
    """After a change an idle channel is closed with the end of the next call."""
    old = pool.for_call()
    pool.release(old)
    for write in replaced(pair, tmp_path / "new"):
        write()
    assert pool.release(pool.for_call()) == [old.channel]
    old.channel.close()


def test_while_files_do_not_fit_together_the_channel_stays(pool, pair, tmp_path):
    """While the files are missing or do not fit together, the channel stays."""
    old = pool.for_call()
    write_certificate, write_key = replaced(pair, tmp_path / "new")
    write_certificate()
    assert pool.for_call() is old
    pair[1].unlink()
    assert pool.for_call() is old
    write_key()
    assert pool.for_call() is not old


def test_files_that_do_not_fit_together_make_no_client(pair, tmp_path):
    """Files that do not fit together are refused when the pool is created."""
    replaced(pair, tmp_path / "new")[0]()
    with pytest.raises(InvalidInput, match="do not belong together"):
        ChannelPool(CallSettings("localhost:1", tls=Tls(None, *pair)), open_channel)

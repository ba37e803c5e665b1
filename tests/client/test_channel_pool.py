"""lorb_client.channel_pool: a new channel for new certificates, without a call lost on the old one."""

import pytest

from lorb.errors import InvalidInput
from lorb_client import Tls
from lorb_client.calls import CallSettings
from lorb_client.channel import open_channel
from lorb_client.channel_pool import ChannelPool
from support.servers.certificates import Authority


@pytest.fixture
def pair(tmp_path):
    """A caller's certificate and key, in files that a test replaces."""
    return Authority(tmp_path, "ca").issue("decoder")


@pytest.fixture
def lines(pair):
    """Lines of real channels, which connect to nothing."""
    lines = ChannelPool(CallSettings("localhost:1", tls=Tls(None, *pair)), open_channel)
    yield lines
    for channel in lines.channels():
        channel.close()


def replaced(pair, folder):
    """Writes another pair in place of this one: a function for each file."""
    folder.mkdir()
    new = Authority(folder, "other").issue("decoder")
    return [lambda old=old, now=now: old.write_bytes(now.read_bytes()) for old, now in zip(pair, new, strict=True)]


def test_as_long_as_no_file_changes_all_calls_share_a_channel(lines):
    """And it is never given back to be closed."""
    first, second = lines.take(), lines.take()
    assert first.channel is second.channel
    assert lines.give_back(first) == lines.give_back(second) == []


def test_a_call_under_way_keeps_its_channel(lines, pair, tmp_path):
    """The next call has another one; the old is given up with the last call that it had."""
    old = lines.take()
    for write in replaced(pair, tmp_path / "new"):
        write()
    new = lines.take()
    assert new.channel is not old.channel
    assert lines.channels() == [new.channel, old.channel]
    assert lines.give_back(new) == []
    assert lines.give_back(old) == [old.channel]
    assert lines.channels() == [new.channel]
    old.channel.close()


def test_a_channel_that_no_call_is_on_is_given_up_with_the_next(lines, pair, tmp_path):
    """Nothing stays open behind."""
    old = lines.take()
    lines.give_back(old)
    for write in replaced(pair, tmp_path / "new"):
        write()
    assert lines.give_back(lines.take()) == [old.channel]
    old.channel.close()


def test_while_files_do_not_fit_together_the_channel_stays(lines, pair, tmp_path):
    """A new certificate whose key is yet to come, and no file at all for a moment."""
    old = lines.take()
    write_certificate, write_key = replaced(pair, tmp_path / "new")
    write_certificate()
    assert lines.take() is old
    pair[1].unlink()
    assert lines.take() is old
    write_key()
    assert lines.take() is not old


def test_files_that_do_not_fit_together_make_no_client(pair, tmp_path):
    """At first there is no channel to stay with."""
    replaced(pair, tmp_path / "new")[0]()
    with pytest.raises(InvalidInput, match="do not belong together"):
        ChannelPool(CallSettings("localhost:1", tls=Tls(None, *pair)), open_channel)

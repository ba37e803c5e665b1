"""A server whose store is on S3, with a real S3 server on loopback."""

import time

import pytest

pytest.importorskip("s3fs", reason="no s3fs: pip install '.[s3]'")
pytest.importorskip("moto", reason="no moto: its server speaks S3")

import s3fs

from lorb_adapters.store.store import Store
from support.adapters.publications import make_publication
from support.servers.s3_server import s3_server
from support.servers.serving import WAIT_SECONDS, running_server

TEXTS = ("the cat sat", "a cat sat on", "the cat sad")


def served_version(server, until):
    """Calls until the version `until` answers; returns the versions that answered, in order."""
    seen, limit = [], time.monotonic() + WAIT_SECONDS
    while seen[-1:] != [until]:
        assert time.monotonic() < limit, f"{until} is not served; seen: {seen}"
        version = server.rescore(*TEXTS).adapter.version
        if seen[-1:] != [version]:
            seen.append(version)
    return seen


def test_a_running_server_takes_a_new_version_from_s3_and_keeps_it_through_an_outage(
    monkeypatch, tiny_bert, publishing_base
):
    """A new version on S3 serves without a restart; during an outage calls are answered and errors counted."""
    url = "s3://lorb-adapters/production"
    with s3_server(monkeypatch.setenv):
        s3fs.S3FileSystem().mkdir("lorb-adapters")
        first = Store(url).publish(make_publication(publishing_base, "voice", seed=1), set_stable=True)
        with running_server(tiny_bert, url, poll_seconds=0.1) as server:
            assert served_version(server, first) == [first]
            second = Store(url).publish(make_publication(publishing_base, "voice", seed=2), set_stable=True)
            assert served_version(server, second) == [first, second]
            Store(url).rollback("voice")
            assert served_version(server, first) == [second, first]
            monkeypatch.setattr(s3fs.S3FileSystem, "_info", _out_of_reach)
            limit = time.monotonic() + WAIT_SECONDS
            while not server.sample("lorb_registry_errors_total"):
                assert time.monotonic() < limit
                time.sleep(0.02)
            assert server.rescore(*TEXTS).adapter.version == first


async def _out_of_reach(*_, **__):
    raise ConnectionError("S3 is out of reach")

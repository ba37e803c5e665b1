"""Metrics that judge a canary: its outcomes and times beside those of stable, on a real server."""

import pytest

from lorb.v1 import admin_pb2 as pb
from lorb_server.registry.router import is_in_share
from support.servers.serving import running_server


@pytest.mark.parametrize("front_processes", [0, 1], ids=["one process", "fronts"])
def test_calls_count_by_alias_while_a_canary_takes_a_share(tiny_bert, filled, front_processes):
    """Only while a canary takes a share, calls without an alias count for canary or stable, as their key decides."""
    third = filled.versions("voice")[2]
    keys = [f"speaker-{number}" for number in range(20)]
    with running_server(tiny_bert, filled.url, front_processes=front_processes) as server:

        def counts():
            if front_processes:
                samples = server.do(server.app.fronts.measure)
            else:
                families = server.app.metrics.registry.collect()
                samples = {
                    (family.name, each.name, tuple(sorted(each.labels.items()))): each.value
                    for family in families
                    for each in family.samples
                }
            values = {
                (dict(labels)["alias"], name.rpartition("_")[2]): value
                for (_, name, labels), value in samples.items()
                if name in ("lorb_alias_requests_total", "lorb_alias_duration_seconds_count")
            }
            return {alias: (values[alias, "total"], values[alias, "count"]) for alias, _ in values}

        def send():
            for key in keys:
                server.rescore("the cat", "a cat", routing_key=key)
                server.rescore("the cat", "a cat", routing_key=key, domain="voice@stable")

        send()
        assert counts() == {}
        server.admin.SetAlias(pb.SetAliasRequest(domain="voice", alias="canary", version=third, share=0.5))
        send()
        num_canary = sum(is_in_share("voice", key, 0.5) for key in keys)
        split = {"canary": (num_canary, num_canary), "stable": (len(keys) - num_canary, len(keys) - num_canary)}
        assert 0 < num_canary < len(keys)
        assert counts() == split
        server.admin.SetAlias(pb.SetAliasRequest(domain="voice", alias="canary"))
        send()
        assert counts() == split

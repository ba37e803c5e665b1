"""Runs a DNS server on loopback with an A record for each replica, as for a headless Service."""

from collections.abc import Iterator
from contextlib import contextmanager

from dnslib import QTYPE, RR, A
from dnslib.server import BaseResolver, DNSLogger, DNSServer

NAME = "lorb.test"


class NameServer(BaseResolver):
    """Answers every name with `addresses`, which may change at any time.

    Attributes:
        addresses: addresses of the replicas.
        port: UDP port on 127.0.0.1.
    """

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.port = 0

    def resolve(self, request, handler):
        """Answers a query with A records."""
        reply = request.reply()
        if request.q.qtype == QTYPE.A:
            for address in tuple(self.addresses):
                reply.add_answer(RR(request.q.qname, QTYPE.A, rdata=A(address), ttl=1))
        return reply

    def target(self, port: int) -> str:
        """The target of a client that finds replicas on this port."""
        return f"dns://127.0.0.1:{self.port}/{NAME}:{port}"


@contextmanager
def name_server() -> Iterator[NameServer]:
    """Runs a name server."""
    resolver = NameServer()
    server = DNSServer(resolver, address="127.0.0.1", port=0, logger=DNSLogger(logf=lambda line: None))
    resolver.port = server.server.server_address[1]
    server.start_thread()
    try:
        yield resolver
    finally:
        server.stop()
        server.server.server_close()

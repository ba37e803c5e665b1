"""Clients of a LoRB server: `Client`, `AioClient` for asyncio, and their TLS and token files. Imports no torch."""

from lorb_client.access import Tls, TokenFile
from lorb_client.aio import AioClient
from lorb_client.client import Client

__all__ = ["AioClient", "Client", "Tls", "TokenFile"]

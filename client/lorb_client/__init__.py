"""Calls a LoRB server: `Client`, its asyncio twin `AioClient`, and the command `lorb-rescore`. No torch."""

from lorb_client.aio import AioClient
from lorb_client.client import Client

__all__ = ["AioClient", "Client"]

"""Clients of a LoRB server: `Client`, `AioClient` for asyncio, and their TLS and token files. Imports no torch.

A client is imported when it is first used: `lorb-health`, which containers start every few seconds, needs none.
"""

import importlib
from typing import TYPE_CHECKING

from lorb_client.access import Tls, TokenFile

if TYPE_CHECKING:
    from lorb_client.aio import AioClient
    from lorb_client.client import Client

_MODULES = {"AioClient": "lorb_client.aio", "Client": "lorb_client.client"}

__all__ = ["AioClient", "Client", "Tls", "TokenFile"]


def __getattr__(name: str) -> object:
    """Imports a client."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    client: object = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = client
    return client

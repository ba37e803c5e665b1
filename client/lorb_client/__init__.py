"""Calls a LoRB server: `Client`, its asyncio twin `AioClient`, and the command `lorb-rescore`. No torch.

`Tls` names the files of a TLS connection, `TokenFile` the file of a bearer token.
"""

from lorb_client.aio import AioClient
from lorb_client.client import Client
from lorb_client.tls import Tls
from lorb_client.token_file import TokenFile

__all__ = ["AioClient", "Client", "Tls", "TokenFile"]

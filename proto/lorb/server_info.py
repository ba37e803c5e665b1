"""ServerInfo: a server's release, base, domains and limits."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What the call GetServerInfo returns.

    Attributes:
        server_version: the LoRB release, such as "0.1.0".
        base_name: the base's name as given to --base.
        base_fingerprint: sha256 of the base's weights, tokeniser and configuration, in hex.
        device: the model's device, "cpu" or "cuda:0".
        dtype: the model's data type, "float32" or "bfloat16".
        domains: names of the domains served now.
        default_domain: the domain of requests without a domain; empty if a request without a domain is an error.
        max_hypotheses: maximum number of hypotheses in a list.
        max_transcript_chars: maximum number of characters in a transcript.
        max_batch_lists: maximum number of lists in one BatchRescore call.
    """

    server_version: str
    base_name: str
    base_fingerprint: str
    device: str
    dtype: str
    domains: tuple[str, ...]
    default_domain: str
    max_hypotheses: int
    max_transcript_chars: int
    max_batch_lists: int

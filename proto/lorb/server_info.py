"""What a server says about itself."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a server is, serves and accepts.

    Attributes:
        server_version: the LoRB release, "0.1.0".
        base_name: as given to --base.
        base_fingerprint: sha256 of the base's weights, tokenizer and configuration, in hex.
        device: "cpu" or "cuda:0".
        dtype: "float32" or "bfloat16".
        domains: served now.
        default_domain: of a request that names none; empty where such a request is an error.
        max_hypotheses: the most a list may have.
        max_transcript_chars: the most a transcript may have.
        max_batch_lists: the most lists one BatchRescore may have.
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

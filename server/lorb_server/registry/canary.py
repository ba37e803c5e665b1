"""Which calls go to the canary: the same caller always on the same side."""

from hashlib import sha256

_SPACE = 2**64


def is_in_share(domain: str, key: str, share: float) -> bool:
    """Whether the calls of `key` are among the `share` (0 to 1) of the domain's calls that the canary takes.

    A larger share keeps those already in it; domains split their callers each in its own way.
    """
    digest = sha256(f"{domain}\0{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * _SPACE

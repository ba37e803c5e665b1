"""The settings of the base, the store and the adapters."""

from dataclasses import dataclass

from lorb_server.setting import setting


@dataclass(frozen=True, kw_only=True)
class AdapterSettings:
    """Which base and which adapters the server serves."""

    base: str = setting(
        "auto",
        "The base model: 'minilm', 'rescore-minilm', a folder, or a hub id. 'auto' takes the base that most of the "
        "store's stable versions were trained on, or 'minilm' if there is no stable version. With --trusted-keys, "
        "versions without a trusted signature do not count.",
    )
    store: str = setting(
        "adapters/store",
        "The adapter store: a folder or any fsspec URL. The server writes to it only when an operator sets an alias "
        "through the admin service.",
    )
    default_domain: str = setting(
        "", "The domain of requests that name no domain. Without this setting, such a request is an error."
    )
    allow_pinned_versions: bool = setting(
        False,
        "Let callers ask for any version in the store, as 'name@version', not only for those that aliases point at.",
    )
    preload: bool = setting(
        True,
        "Before serving, load and verify the adapters that aliases point at, up to --max-adapter-bytes. "
        "Otherwise the first call that needs an adapter loads it.",
    )
    max_adapter_bytes: int = setting(
        1024 * 1024 * 1024,
        "Memory for adapters on the device. The least recently used adapters are evicted, and loaded again on demand.",
        minimum=1,
    )
    poll_seconds: float = setting(
        1.0, "Time between checks of the store for changes; a new adapter serves after the next check.", minimum=0.01
    )
    store_timeout_seconds: float = setting(
        30.0,
        "Longest wait for the store: to read its index, a few of its domains, or one version. If the store takes "
        "longer, the loaded versions keep serving, and the error is counted and logged.",
        minimum=0.1,
    )
    minimum_domains: int = setting(
        0,
        "Domains that the server must serve before health is SERVING for the first time, so that a server whose store "
        "is empty or not mounted takes no calls.",
        minimum=0,
    )

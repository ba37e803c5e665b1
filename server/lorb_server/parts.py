"""Opens the store and loads the base, before the server is built."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from lorb.errors import InvalidInput, StoreUnavailable
from lorb_adapters.base.loader import Base, load_base
from lorb_adapters.model import RescoringModel
from lorb_adapters.process_memory import keep_freed_pages
from lorb_adapters.store.choose_base import choose_base
from lorb_adapters.store.signing import TrustedKeys
from lorb_adapters.store.store import Store
from lorb_adapters.threads import use_threads
from lorb_server.adapter import BaseInfo
from lorb_server.config import ServeConfig
from lorb_server.engine.device import Placement, choose_placement
from lorb_server.engine.workers.split import Split, choose_split
from lorb_server.setting import flag
from lorb_server.thread_pool import StoreThreads

Result = TypeVar("Result")

_BASE_CHOICE_TIMEOUTS = 10  # choosing a base reads up to 100 domains


@dataclass(frozen=True, slots=True)
class ServerParts:
    """The parts that are loaded before the server is built.

    Attributes:
        base: the base model, on its device.
        model: the base's encoder, packed for inference.
        placement: how the model runs on this machine.
        split: how many workers share the CPU threads.
        store: the adapter store.
    """

    base: Base
    model: RescoringModel
    placement: Placement
    split: Split
    store: Store

    @classmethod
    def of(cls, config: ServeConfig, base: Base, placement: Placement, store: Store) -> "ServerParts":
        """Packs the base for inference, and chooses the workers."""
        model = RescoringModel(base)
        threads, per_worker = placement.threads, config.threads_per_worker
        split = choose_split(model, threads, workers=config.workers, threads_per_worker=per_worker)
        return cls(base, model, placement, split, store)


def load_parts(config: ServeConfig) -> ServerParts:
    """Opens the store and loads the base.

    Raises LorbError if either fails. The error is StoreUnavailable if the store does not answer in time.
    """
    keep_freed_pages()
    placement = choose_placement(config)
    use_threads(1)  # for the calling thread, which does not run the model
    trusted, timeout_seconds = trusted_keys(config), config.store_timeout_seconds
    store = _in_time(timeout_seconds, partial(_open_store, config.store, timeout_seconds))
    base = _in_time(_BASE_CHOICE_TIMEOUTS * timeout_seconds, partial(choose_base, config.base, store, trusted))
    return ServerParts.of(config, load_base(base, device=placement.device, dtype=placement.dtype), placement, store)


def trusted_keys(config: ServeConfig) -> TrustedKeys | None:
    """The public keys in the file that --trusted-keys names: one of them must have signed each version that is loaded.

    Returns None if no file is named: then no signature is required.

    Raises InvalidInput, naming the flag and the file, if the key file is not usable.
    """
    if not config.trusted_keys:
        return None
    try:
        return TrustedKeys(Path(config.trusted_keys))
    except InvalidInput as error:
        raise InvalidInput(f"{flag('trusted_keys')} {error.message}", field="trusted_keys") from error


def base_info(base: Base) -> BaseInfo:
    """The identity of a loaded base."""
    return BaseInfo(base.name, base.fingerprint, str(base.device), str(base.dtype).removeprefix("torch."))


def _in_time(timeout_seconds: float, function: Callable[[], Result]) -> Result:
    """Returns what `function` returns. Raises StoreUnavailable if the store keeps it longer than `timeout_seconds`."""
    threads = StoreThreads(timeout_seconds, 1, "opening")
    try:
        return threads.submit(function).result()
    finally:
        threads.shutdown()


def _open_store(url: str, timeout_seconds: float) -> Store:
    """Opens the store and reads its index. An empty folder is accepted; if it is in a folder, another process reads it.

    Raises StoreUnavailable if the folder is missing, because its path is probably mistyped, or if the index cannot be
    read.
    """
    path = url if "://" in url else str(Path(url).expanduser().absolute())  # errors for callers cut absolute paths
    store = Store(path, read_timeout_seconds=timeout_seconds)
    try:
        store.generation()
    except StoreUnavailable as error:
        raise StoreUnavailable(f"--store {url}: {error.message}", field="store") from error
    return store

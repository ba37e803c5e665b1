"""A publisher to run in its own process; it imports little, so that the process starts quickly."""

from multiprocessing.synchronize import Event

from lorb_adapters.store.adapter import Publication
from lorb_adapters.store.store import Store


def publish_often(url: str, publication: Publication, is_ready: Event, times: int) -> None:
    """Sets `is_ready`, then publishes `times` times."""
    store = Store(url)
    is_ready.set()
    for _ in range(times):
        store.publish(publication, set_stable=True)

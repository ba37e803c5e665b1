"""A publisher for a process of its own: imports no more than it needs, so that it is there soon."""

from multiprocessing.synchronize import Event

from lorb_adapters.store.adapter import Publication
from lorb_adapters.store.store import Store


def publish_often(url: str, publication: Publication, is_ready: Event, times: int) -> None:
    """Says that it is ready, then publishes again and again."""
    store = Store(url)
    is_ready.set()
    for _ in range(times):
        store.publish(publication, set_stable=True)

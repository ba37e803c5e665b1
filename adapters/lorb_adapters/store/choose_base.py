"""Chooses the base that most adapters of a store were trained for."""

import logging
from collections import Counter

from lorb.errors import LorbError
from lorb.names import DomainSelector
from lorb_adapters.base.named import MINILM
from lorb_adapters.store.signing import TrustedKeys
from lorb_adapters.store.store import Store

AUTO = "auto"
_MAX_DOMAINS = 100  # bounds the time: one manifest is read for each domain

_log = logging.getLogger(__name__)


def choose_base(requested: str, store: Store | None, trusted: TrustedKeys | None = None) -> str:
    """Returns `requested`, or for "auto" the name of the base that most stable versions were trained for.

    In a tie MiniLM is chosen, or else the first name in alphabetical order. Without a store, or without a readable
    stable version, the base is MiniLM. With `trusted`, versions that none of its keys signed are not counted: otherwise
    anyone who can write to the store could decide which base is loaded. Raises StoreUnavailable if the store cannot be
    reached.
    """
    if requested != AUTO:
        return requested
    if store is None:
        return MINILM
    names: Counter[str] = Counter()
    for domain in store.candidate_domains()[:_MAX_DOMAINS]:
        try:
            version = store.resolve(DomainSelector.parse(domain))
            names[store.manifest(domain, version, trusted).base_name] += 1
        except LorbError:  # no stable version, or its manifest is unreadable or not signed
            continue
    chosen = min(names, key=lambda name: (-names[name], name != MINILM, name), default=MINILM)
    if len(names) > 1:
        _log.warning(
            "the base is %s: %d of %d stable versions were trained for it; the others cannot be served",
            chosen, names[chosen], names.total(),
        )  # fmt: skip
    return chosen

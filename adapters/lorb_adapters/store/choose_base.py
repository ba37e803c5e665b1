"""Which base a store's adapters are for: what serves or trains without being told another."""

import logging
from collections import Counter

from lorb.errors import LorbError
from lorb.names import DomainSelector
from lorb_adapters.base.named import MINILM
from lorb_adapters.store.signing import TrustedKeys
from lorb_adapters.store.store import Store

AUTO = "auto"
_MOST_DOMAINS = 100  # each takes a look into its manifest

_log = logging.getLogger(__name__)


def choose_base(asked: str, store: Store | None, trusted: TrustedKeys | None = None) -> str:
    """`asked`, a base as `load_base` takes it; where that is "auto", the one that most stable versions name.

    Where as many name another, MiniLM goes first, then the alphabet. MiniLM too where none has a readable stable
    version, or there is no store. With `trusted`, versions that none of those keys signed have no say: whoever can
    write to the store does not choose what is loaded. Raises StoreUnavailable where the store cannot be reached.
    """
    if asked != AUTO:
        return asked
    if store is None:
        return MINILM
    names: Counter[str] = Counter()
    for domain in store.possible_domains()[:_MOST_DOMAINS]:
        try:
            version = store.resolve(DomainSelector.parse(domain))
            names[store.manifest(domain, version, trusted).base_name] += 1
        except LorbError:  # nothing stable, or a version that will be refused when it is loaded
            continue
    chosen = min(names, key=lambda name: (-names[name], name != MINILM, name), default=MINILM)
    if len(names) > 1:
        _log.warning(
            "the base is %s, as %d of %d stable versions have it; the others cannot serve on it",
            chosen, names[chosen], names.total(),
        )  # fmt: skip
    return chosen

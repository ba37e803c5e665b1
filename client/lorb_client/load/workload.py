"""Workload: the requests of a load, drawn at random from lists and domains."""

import math
import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lorb.errors import InvalidInput
from lorb.names import DomainSelector
from lorb.nbest import Hypothesis, NBest
from lorb.ranked import RescoreOptions
from lorb.wire import request_from_nbest

SERVER_DEFAULT = ""  # an empty domain in a request means the server's default domain


@dataclass(frozen=True, slots=True)
class DomainShare:
    """A domain and its share of the calls. Raises InvalidInput if the name or the share is invalid.

    Attributes:
        domain: "name" or "name@alias"; SERVER_DEFAULT for the server's default domain.
        share: weight of the domain, above 0; the shares need not add up to 1.
    """

    domain: str
    share: float

    def __post_init__(self) -> None:
        if self.domain:
            DomainSelector.parse(self.domain, "domains")
        if not (math.isfinite(self.share) and self.share > 0):
            raise InvalidInput(
                f"domain {self.domain!r} has the share {self.share:g}: give a share above 0", field="domains"
            )


ONLY_DEFAULT = (DomainShare(SERVER_DEFAULT, 1.0),)


def parse_domains(text: str) -> tuple[DomainShare, ...]:
    """Parses "a", "a,b" (equal shares) or "a=0.7,b@canary=0.3". Raises InvalidInput."""
    shares = [_parse_share(part) for part in text.split(",")]
    names = [share.domain for share in shares]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise InvalidInput(f"domain {repeated!r} is repeated: add up its shares", field="domains")
    return tuple(shares)


def truncate_lists(lists: Sequence[NBest], num_hypotheses: int | None) -> list[NBest]:
    """Keeps the best `num_hypotheses` of each list; None keeps all.

    The best have the highest first-pass scores, or stand first in a list without scores. Raises InvalidInput if the
    number is below 1.
    """
    if num_hypotheses is None:
        return list(lists)
    if num_hypotheses < 1:
        raise InvalidInput(f"hypotheses is {num_hypotheses}: keep 1 or more of each list", field="hypotheses")
    return [replace(nbest, hypotheses=_best(nbest.hypotheses, num_hypotheses)) for nbest in lists]


@dataclass(frozen=True, slots=True)
class Workload:
    """The requests of a load, and which request each call sends.

    Attributes:
        requests: serialised RescoreRequests: all lists with the first domain, then all with the next domain.
        draws: for each call, the position of its request in `requests`.
    """

    requests: Sequence[bytes]
    draws: "array[int]"

    @classmethod
    def draw(
        cls,
        lists: Sequence[NBest],
        domains: Sequence[DomainShare],
        options: RescoreOptions,
        num_calls: int,
        seed: int,
    ) -> "Workload":
        """Draws domains by their shares, and lists in shuffled rounds: every round holds every list once.

        Raises InvalidInput if there are no lists, or a list cannot be sent.
        """
        if not lists:
            raise InvalidInput("there are no lists to send", field="lists")
        requests = [
            request_from_nbest(nbest, replace(options, domain=share.domain)).SerializeToString()
            for share in domains
            for nbest in lists
        ]
        return cls(requests, _draws(len(lists), domains, num_calls, seed))


def _best(hypotheses: tuple[Hypothesis, ...], count: int) -> tuple[Hypothesis, ...]:
    by_score = sorted(range(len(hypotheses)), key=lambda i: -(hypotheses[i].first_pass_score or 0.0))
    return tuple(hypotheses[i] for i in sorted(by_score[:count]))


def _draws(num_lists: int, domains: Sequence[DomainShare], num_calls: int, seed: int) -> "array[int]":
    # "mix" makes these draws independent of the arrival times, which use the same seed
    rng = random.Random(f"mix {seed}")  # noqa: S311 - not for cryptography
    domain_of_calls = rng.choices(range(len(domains)), [share.share for share in domains], k=num_calls)
    lists: list[int] = []
    draws = array("Q")
    for domain in domain_of_calls:
        if not lists:
            lists = rng.sample(range(num_lists), num_lists)
        draws.append(domain * num_lists + lists.pop())
    return draws


def _parse_share(part: str) -> DomainShare:
    domain, equals, share = part.strip().partition("=")
    if not domain:
        raise InvalidInput(f"domains has an empty name in {part!r}: give a=0.7,b=0.3", field="domains")
    try:
        return DomainShare(domain, float(share) if equals else 1.0)
    except ValueError:
        raise InvalidInput(
            f"domain {domain!r} has the share {share!r}: give a number above 0", field="domains"
        ) from None

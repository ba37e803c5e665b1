"""Who gets the canary."""

import math

from hypothesis import given
from hypothesis import strategies as st

from lorb_server.registry.router import is_in_share

SHARES = st.floats(0.0, 1.0)
NUM_KEYS = 4000


@given(key=st.text(), small=SHARES, large=SHARES)
def test_a_larger_share_keeps_those_in_it(key, small, large):
    """Nobody who has the canary loses it when the share grows; all have it at 1, nobody at 0."""
    small, large = sorted((small, large))
    assert is_in_share("voice", key, large) or not is_in_share("voice", key, small)
    assert is_in_share("voice", key, 1.0)
    assert not is_in_share("voice", key, 0.0)


@given(key=st.text(), share=SHARES)
def test_a_caller_stays_on_its_side(key, share):
    """The answer is a function of domain, key and share alone."""
    assert is_in_share("voice", key, share) == is_in_share("voice", key, share)


@given(prefix=st.sampled_from(("speaker-", "call ", "")), share=st.sampled_from((0.01, 0.05, 0.2, 0.5, 0.9)))
def test_the_share_is_respected(prefix, share):
    """Of many keys as many are in as a binomial distribution allows, five standard deviations wide."""
    taken = sum(is_in_share("voice", f"{prefix}{number}", share) for number in range(NUM_KEYS))
    assert abs(taken - NUM_KEYS * share) < 5 * math.sqrt(NUM_KEYS * share * (1 - share))


def test_domains_split_their_callers_differently():
    """Half of those in one domain's half are in another's, not all of them."""
    keys = [str(number) for number in range(NUM_KEYS)]
    voice = {key for key in keys if is_in_share("voice", key, 0.5)}
    radio = {key for key in keys if is_in_share("radio", key, 0.5)}
    assert abs(len(voice & radio) - NUM_KEYS / 4) < 5 * math.sqrt(NUM_KEYS * 3 / 16)

"""Predicts an upper quantile of the duration of a pass of the model; learns while the server runs.

    seconds = margin * (a + b * tokens)

a and b are fitted to past passes by least squares; the weight of a pass decays exponentially with each later pass.
margin is a high quantile of the ratio of measured to fitted duration.
"""

import math
from collections import deque

QUANTILE = 0.9  # this share of passes takes no longer than predicted
DECAY = 0.98  # each new pass multiplies the weights of earlier passes by this: about the last 50 passes count
MARGIN_PASSES = 64  # the margin is computed from this many of the latest passes
SPEEDUP_RESET = 4.0  # a pass this many times faster than fitted resets the fit: the machine must have changed
CLOCK_TICK_SECONDS = 1e-9  # the resolution of Python's clocks
MAX_SLOWDOWN = 8.0  # a pass counts as at most this multiple of the fit: the machine may have been suspended


class CostModel:
    """Predicts the seconds of a pass from its tokens; 0 before the first observed pass. Not thread-safe."""

    def __init__(self) -> None:
        self._forget()

    def observe(self, tokens: int, seconds: float) -> None:
        """Learns from a pass. Durations below the clock's resolution, and infinite ones, are ignored."""
        if tokens <= 0 or not CLOCK_TICK_SECONDS <= seconds < math.inf:
            return
        if seconds * SPEEDUP_RESET < self._fitted(tokens):
            self._forget()
        if self._recent:
            seconds = min(seconds, MAX_SLOWDOWN * self._fitted(tokens))
        self._fit(float(tokens), seconds)
        self._recent.append((tokens, seconds))
        self._margin = self._quantile()

    def seconds(self, tokens: int) -> float:
        """The duration that 9 of 10 passes of this many tokens do not exceed; 0 for no tokens."""
        return self._margin * self._fitted(tokens) if tokens > 0 else 0.0

    def seconds_within_passes(self, tokens: int) -> float:
        """The predicted seconds that tokens add to passes that run anyway; the fixed cost of a pass is left out."""
        return self._margin * self._per_token * tokens

    def _forget(self) -> None:
        self._weight = self._x = self._y = self._xx = self._xy = 0.0  # decaying sums; x: tokens, y: seconds
        self._fixed = self._per_token = 0.0
        self._recent: deque[tuple[int, float]] = deque(maxlen=MARGIN_PASSES)
        self._margin = 1.0

    def _fitted(self, tokens: int) -> float:
        return self._fixed + self._per_token * tokens

    def _fit(self, x: float, y: float) -> None:
        self._weight = DECAY * self._weight + 1.0
        self._x = DECAY * self._x + x
        self._y = DECAY * self._y + y
        self._xx = DECAY * self._xx + x * x
        self._xy = DECAY * self._xy + x * y
        spread = self._weight * self._xx - self._x * self._x
        slope = (self._weight * self._xy - self._x * self._y) / spread if spread > 1e-6 * self._xx else 0.0
        intercept = (self._y - slope * self._x) / self._weight
        if slope > 0.0 and intercept >= 0.0:
            self._fixed, self._per_token = intercept, slope
        else:  # all passes have about one size, or noise dominates: fit a line through the origin
            self._fixed, self._per_token = 0.0, self._y / self._x

    def _quantile(self) -> float:
        """The quantile of measured / fitted duration, at least 1. All ratios use the current fit."""
        ratios = sorted(seconds / self._fitted(tokens) for tokens, seconds in self._recent)
        return max(1.0, ratios[min(len(ratios) - 1, math.floor(QUANTILE * len(ratios)))])

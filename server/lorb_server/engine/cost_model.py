"""How long a pass of the model takes: learned while serving, told as an upper quantile.

    seconds = margin * (a + b * tokens)

a and b are least squares over passes that fade out of memory; margin is a high quantile of measured / fitted.
"""

import math
from collections import deque

QUANTILE = 0.9  # of passes are to be at most as long as predicted
FORGETTING = 0.98  # weight of a pass after each later one: the last 50 or so count
PASSES_KEPT = 64  # whose scatter makes the margin
OUTDATED = 4.0  # no accident makes a pass so many times faster: what was learned before holds no more
CLOCK_TICK_SECONDS = 1e-9  # Python's clocks tell no shorter time
OUTLIER = 8.0  # a pass that took so many times longer than fitted tells of a suspended machine, not of the model


class CostModel:
    """Predicts the seconds of a pass from its tokens. Before it has seen one it predicts 0. Not thread-safe."""

    def __init__(self) -> None:
        self._forget()

    def observe(self, tokens: int, seconds: float) -> None:
        """Learns from a pass. A duration that no clock can have measured is left out."""
        if tokens <= 0 or not CLOCK_TICK_SECONDS <= seconds < math.inf:
            return
        if seconds * OUTDATED < self._fitted(tokens):
            self._forget()
        if self._recent:
            seconds = min(seconds, OUTLIER * self._fitted(tokens))
        self._fit(float(tokens), seconds)
        self._recent.append((tokens, seconds))
        self._margin = self._quantile()

    def seconds(self, tokens: int) -> float:
        """How long a pass of so many tokens takes at most, nine times in ten. 0 for none."""
        return self._margin * self._fitted(tokens) if tokens > 0 else 0.0

    def seconds_within_passes(self, tokens: int) -> float:
        """What so many tokens add to passes that run anyway: seconds without the fixed part."""
        return self._margin * self._per_token * tokens

    def _forget(self) -> None:
        self._weight = self._x = self._y = self._xx = self._xy = 0.0  # faded sums
        self._fixed = self._per_token = 0.0
        self._recent: deque[tuple[int, float]] = deque(maxlen=PASSES_KEPT)
        self._margin = 1.0

    def _fitted(self, tokens: int) -> float:
        return self._fixed + self._per_token * tokens

    def _fit(self, x: float, y: float) -> None:
        self._weight = FORGETTING * self._weight + 1.0
        self._x = FORGETTING * self._x + x
        self._y = FORGETTING * self._y + y
        self._xx = FORGETTING * self._xx + x * x
        self._xy = FORGETTING * self._xy + x * y
        spread = self._weight * self._xx - self._x * self._x
        slope = (self._weight * self._xy - self._x * self._y) / spread if spread > 1e-6 * self._xx else 0.0
        intercept = (self._y - slope * self._x) / self._weight
        if slope > 0.0 and intercept >= 0.0:
            self._fixed, self._per_token = intercept, slope
        else:  # passes all of one size, or noise: through the origin
            self._fixed, self._per_token = 0.0, self._y / self._x

    def _quantile(self) -> float:
        """Of measured / fitted; against the present fit, or a machine that has changed would count twice."""
        ratios = sorted(seconds / self._fitted(tokens) for tokens, seconds in self._recent)
        return max(1.0, ratios[min(len(ratios) - 1, math.floor(QUANTILE * len(ratios)))])

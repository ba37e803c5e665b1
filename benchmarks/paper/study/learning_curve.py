"""WER against the number of train lists: a line in the logarithm of the number, and how sure its slope is.

WER(n) = a + b log10(n); b is what ten times the lists bring, per cent absolute, below 0 is better.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from study.intervals import Interval, resampled_wers


def fitted(
    errors: Mapping[int, Sequence[np.ndarray]], words: np.ndarray, *, seed: int = 0
) -> tuple[Interval, Interval, float]:
    """b, the WER that the line has at ten times the largest number, and R squared of the means.

    errors: by number of lists, [seeds] of [dev lists]. Intervals: 10,000 resamples of dev lists, the same for all
    numbers, and of each number's seeds.
    """
    counts = np.log10(sorted(errors))
    totals = [np.stack(errors[count]).mean(axis=0).sum() for count in sorted(errors)]
    means = 100 * np.array(totals) / words.sum()
    slope, start = np.polyfit(counts, means, 1)
    explained = 1 - ((means - start - slope * counts) ** 2).sum() / max(1e-12, ((means - means.mean()) ** 2).sum())
    design = np.linalg.pinv(np.stack([counts, np.ones_like(counts)], axis=1))  # [2, numbers]
    drawn = resampled_wers([errors[count] for count in sorted(errors)], words, seed=seed)
    slopes, starts = design @ drawn.T
    far = counts[-1] + 1
    return (
        Interval(float(slope), *_ends(slopes)),
        Interval(float(start + slope * far), *_ends(starts + slopes * far)),
        float(explained),
    )


def _ends(values: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)

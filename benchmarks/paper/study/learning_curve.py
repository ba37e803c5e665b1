"""WER against the number of train lists: a line in the logarithm of the number, and how sure its slope is.

WER(n) = a + b log10(n); b is what ten times the lists bring, per cent absolute, below 0 is better.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from study.intervals import Interval, mean_wer, resampled_wers, seed_chance, with_chances


def fitted(
    errors: Mapping[int, Sequence[np.ndarray]], words: np.ndarray, *, seed: int = 0
) -> tuple[Interval, Interval, float]:
    """b, the WER that the line has at ten times the largest number, and R squared of the means.

    errors: by number of lists, [seeds] of [dev lists]. Intervals: the chance of the dev lists, the same for all
    numbers, and that of each number's seeds (`study.intervals`).
    """
    systems = [errors[count] for count in sorted(errors)]
    counts = np.log10(sorted(errors))
    means = np.array([mean_wer(each, words) for each in systems])
    design = np.linalg.pinv(np.stack([counts, np.ones_like(counts)], axis=1))  # [2, numbers]
    slope, start = design @ means
    explained = 1 - ((means - start - slope * counts) ** 2).sum() / max(1e-12, ((means - means.mean()) ** 2).sum())
    drawn = resampled_wers(systems, words, seed=seed)

    def interval(times: np.ndarray) -> Interval:
        """Of the sum of the means, each so many times."""
        seeds = [seed_chance(each, words, float(share)) for each, share in zip(systems, times, strict=True)]
        return with_chances(float(times @ means), drawn @ times, seeds)

    return interval(design[0]), interval(design[1] + design[0] * (counts[-1] + 1)), float(explained)

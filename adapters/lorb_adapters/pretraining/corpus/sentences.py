"""Reads a text's sentences once, normalises and filters them, and keeps them on disk."""

import hashlib
import mmap
import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lorb.errors import InvalidInput
from lorb.formats.parsing.lines import numbered_lines
from lorb_adapters.pretraining.config import BuildConfig
from lorb_adapters.text import TextNormalization

# For sentences that are already normalised. A second normalisation could drop a corrupted word and shift the labels of
# all words after it.
NO_NORMALIZATION = TextNormalization(lowercase=False)
_FILE = "sentences.txt"
_LINES_PER_REPORT = 20_000
# One sentence in 200 is held out, chosen by a hash of its text, so that copies are held out too. Held-out sentences
# beyond the maximum are unused.
_HELD_OUT_ONE_IN, _MAX_HELD_OUT = 200, 2000


class Sentences:
    """The sentences to train on, by number, and held-out sentences.

    The texts to train on are in a memory-mapped file. Only their positions, 8 bytes for each, are kept in memory.

    Attributes:
        held_out: sentences to measure the result on.
        word_counts: counts of words in the sentences to train on.
        dropped: number of lines left out, by reason.
    """

    def __init__(
        self, path: Path, offsets: np.ndarray, held_out: Sequence[str], word_counts: Counter[str], dropped: Counter[str]
    ) -> None:
        """Maps the file at `path` into memory and deletes it.

        offsets: [sentences + 1] start of each sentence in the file, and end of the last, in bytes.
        """
        self.held_out, self.word_counts, self.dropped = tuple(held_out), word_counts, dropped
        self._offsets = offsets
        with path.open("rb") as file:
            self._content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        path.unlink()  # the mapping stays valid, and no file is left behind after a crash

    @classmethod
    def collect(
        cls,
        lines: Iterable[str],
        folder: Path,
        config: BuildConfig,
        *,
        excluded: Set[str] = frozenset(),
        report: Callable[[int], None] = lambda num_lines: None,
    ) -> "Sentences":
        """Reads `lines` once and writes the sentences to `folder`.

        excluded: normalised sentences that must not be trained on, such as dev's references. report: called with the
        number of lines read so far. Raises InvalidInput if no sentence is left to train on, or no sentence to hold out.
        """
        offsets, end = array("q", [0]), 0
        held_out: list[str] = []
        word_counts: Counter[str] = Counter()
        dropped: Counter[str] = Counter()
        path = folder / _FILE
        with _open_for_writing(path) as file:
            for number, line in enumerate(lines):
                if number % _LINES_PER_REPORT == 0:
                    report(number)
                text = config.normalization.apply(line)
                words = text.split()
                if not config.min_words <= len(words) <= config.max_words:
                    dropped["too short" if len(words) < config.min_words else "too long"] += 1
                elif text in excluded:
                    dropped["references of dev"] += 1
                elif zlib.crc32(text.encode()) % _HELD_OUT_ONE_IN == 0:
                    held_out.append(text)
                else:
                    word_counts.update(words)
                    end += file.write(text.encode())
                    offsets.append(end)
        if len(offsets) < 2 or not held_out:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items()) or "none left out"
            raise InvalidInput(
                f"the text has {len(offsets) - 1:,} sentences to train on and {len(held_out)} to hold out ({reasons}): "
                "give more text, with one sentence on each line, or change --min-words and --max-words",
                field="text",
            )
        dropped["held out"] = len(held_out)
        return cls(path, np.array(offsets), held_out[:_MAX_HELD_OUT], word_counts, dropped)

    def __len__(self) -> int:
        """Number of sentences to train on."""
        return len(self._offsets) - 1

    def __getitem__(self, number: int) -> str:
        """The normalised sentence with this number."""
        return self._content[self._offsets[number] : self._offsets[number + 1]].decode()


def shuffled_order(count: int, seed: int, start: int, stop: int) -> Iterator[int]:
    """Sentence numbers at positions `start` to `stop` (exclusive) of endless passes over `count` sentences.

    Each pass has its own random order.
    """
    for turn in range(start // count, -(-stop // count)):
        first = turn * count
        order = np.random.default_rng([seed, turn]).permutation(count)
        yield from map(int, order[max(0, start - first) : stop - first])


def text_lines(paths: Sequence[Path]) -> Iterator[str]:
    """Lines of the files, plain or gzip. Raises MalformedFile with file and line number."""
    for path in paths:
        for _, line in numbered_lines(path):
            yield line


def sha256(path: Path) -> str:
    """Digest of a file, in hex. Raises InvalidInput if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror}", field="text") from error


@contextmanager
def _open_for_writing(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("wb") as file:
            yield file
    except OSError as error:
        raise InvalidInput(f"{path}: the text cannot be written: {error.strerror}", field="run-dir") from error

"""The text of a run: read line by line, normalised, filtered, and kept in one file on disk whatever its size."""

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

# How a sentence is encoded that was normalised when it was read. Once more could drop a word that a corruption made,
# and all behind it would change places.
AS_IT_IS = TextNormalization(lowercase=False)
_FILE = "sentences.txt"
_LINES_BETWEEN_CALLS = 20_000
# One sentence in so many is held out, by its text, so that its copies are too; more than the most are left unused.
_HELD_OUT_ONE_IN, _MOST_HELD_OUT = 200, 2000


class Sentences:
    """Sentences to train on, by number, and a few held out. They stay on disk: memory has a place for each, 8 bytes.

    Attributes:
        held_out: for the figures at the end.
        word_counts: of the sentences trained on.
        dropped: how many lines were left out, by reason.
    """

    def __init__(
        self, path: Path, offsets: np.ndarray, held_out: Sequence[str], word_counts: Counter[str], dropped: Counter[str]
    ) -> None:
        """Takes the file over. offsets: [sentences + 1], where each begins in it, in bytes."""
        self.held_out, self.word_counts, self.dropped = tuple(held_out), word_counts, dropped
        self._offsets = offsets
        with path.open("rb") as file:
            self._content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        path.unlink()  # what is mapped stays for as long as this does, and nothing is left behind

    @classmethod
    def collect(
        cls,
        lines: Iterable[str],
        folder: Path,
        config: BuildConfig,
        *,
        kept_out: Set[str] = frozenset(),
        report: Callable[[int], None] = lambda num_read: None,
    ) -> "Sentences":
        """Reads `lines` once. kept_out: normalised sentences that must not be trained on, dev's references.

        Raises InvalidInput where nothing is left to train on, or none to hold out.
        """
        offsets, end = array("q", [0]), 0
        held_out: list[str] = []
        words_seen: Counter[str] = Counter()
        dropped: Counter[str] = Counter()
        path = folder / _FILE
        with _written(path) as file:
            for number, line in enumerate(lines):
                if number % _LINES_BETWEEN_CALLS == 0:
                    report(number)
                text = config.normalization.apply(line)
                words = text.split()
                if not config.min_words <= len(words) <= config.max_words:
                    dropped["too short" if len(words) < config.min_words else "too long"] += 1
                elif text in kept_out:
                    dropped["references of dev"] += 1
                elif zlib.crc32(text.encode()) % _HELD_OUT_ONE_IN == 0:
                    held_out.append(text)
                else:
                    words_seen.update(words)
                    end += file.write(text.encode())
                    offsets.append(end)
        if len(offsets) < 2 or not held_out:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items()) or "none left out"
            raise InvalidInput(
                f"the text has {len(offsets) - 1:,} sentences to train on and {len(held_out)} to hold out ({reasons}): "
                "give more text, one sentence a line, or other --min-words and --max-words",
                field="text",
            )
        dropped["held out"] = len(held_out)
        return cls(path, np.array(offsets), held_out[:_MOST_HELD_OUT], words_seen, dropped)

    def __len__(self) -> int:
        """How many there are to train on."""
        return len(self._offsets) - 1

    def __getitem__(self, number: int) -> str:
        """One of them, normalised."""
        return self._content[self._offsets[number] : self._offsets[number + 1]].decode()


def reading_order(count: int, seed: int, start: int, stop: int) -> Iterator[int]:
    """Numbers below `count` at places `start` to `stop` of an endless reading, each pass in its own order."""
    for turn in range(start // count, -(-stop // count)):
        first = turn * count
        drawn = np.random.default_rng([seed, turn]).permutation(count)
        yield from map(int, drawn[max(0, start - first) : stop - first])


@contextmanager
def _written(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("wb") as file:
            yield file
    except OSError as error:
        raise InvalidInput(f"{path}: the text cannot be kept there: {error.strerror}", field="run-dir") from error


def text_lines(paths: Sequence[Path]) -> Iterator[str]:
    """Lines of the files, plain or gzip. Raises MalformedFile naming file and line."""
    for path in paths:
        for _, line in numbered_lines(path):
            yield line


def sha256(path: Path) -> str:
    """Of a file, in hex, read in parts. Raises InvalidInput where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror}", field="text") from error

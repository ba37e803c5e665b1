"""Word errors of one list's rescored text, from which a later comparison computes the difference of two runs."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from lorb.errors import InvalidInput
from lorb.nbest import NBest
from lorb_adapters.training.evaluation.significance import errors_by_place

ListErrorsText = Annotated[str, Meta(pattern=r"^[0-9a-f]{12} [0-9a-f]{8}( [0-9]{1,6})+$")]


@dataclass(frozen=True, slots=True)
class ListErrors:
    """The errors of the text that a run ranked first. It holds digests instead of the id and the texts.

    Attributes:
        id_digest: start of the sha256 of the utterance's id, 12 hex digits.
        texts_digest: start of the sha256 of the reference and of all hypotheses in alphabetic order, 8 hex digits.
        num_words: words in the reference.
        places: place of each word error, as in `errors_by_place`: 2 * i + 1 for word i of the reference, counted from
            0, and 2 * i for an insertion before it.
    """

    id_digest: str
    texts_digest: str
    num_words: int
    places: tuple[int, ...]

    @classmethod
    def of(cls, nbest: NBest, text: str) -> "ListErrors":
        """Counts the errors of `text` against the list's reference."""
        reference = nbest.reference or ""
        errors = errors_by_place(reference, text)
        return cls(
            id_digest=_digest([nbest.id], 12),
            texts_digest=_digest([reference, *sorted({each.transcript for each in nbest.hypotheses})], 8),
            num_words=len(reference.split()),
            places=tuple(place for place, count in enumerate(errors) for _ in range(count)),
        )

    @property
    def by_place(self) -> list[int]:
        """The number of errors at each place, [2 * num_words + 1]."""
        counts = Counter(self.places)
        return [counts[place] for place in range(2 * self.num_words + 1)]

    def to_text(self) -> str:
        """Returns id digest, texts digest, number of words and places, separated by blanks."""
        return " ".join(map(str, (self.id_digest, self.texts_digest, self.num_words, *self.places)))

    @classmethod
    def parse(cls, text: str) -> "ListErrors":
        """Reads what `to_text` wrote. Raises InvalidInput for an error at a place that the reference does not have."""
        id_digest, texts_digest, *numbers = text.split()
        num_words, *places = map(int, numbers)
        if places and max(places) > 2 * num_words:
            raise InvalidInput(f"list_errors: {text!r} has an error behind its {num_words} words", field="list_errors")
        return cls(id_digest, texts_digest, num_words, tuple(places))


def _digest(texts: Iterable[str], num_digits: int) -> str:
    return hashlib.sha256("\n".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:num_digits]

"""From transcripts to token ids: normalisation, tokenisation, and the special tokens around them."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from tokenizers import Tokenizer

from lorb.errors import InvalidAdapter

_MARKS = ("Mn", "Mc")  # vowels and tones of many scripts are no letters to Unicode
_INSIDE_WORDS = "'-\u200c\u200d"  # apostrophe, hyphen, and the joiners that say how letters around them are written


@dataclass(frozen=True, slots=True)
class TextNormalization:
    """How a transcript is written before the model reads it. Travels in the adapter.

    Unicode is composed (NFC) and white space collapsed in any case. The answer carries the transcript as sent.

    Attributes:
        lowercase: fold case; an uncased base does so itself.
        strip_punctuation: drop all but letters with their marks, digits, and apostrophes, hyphens and joiners inside a
            word; a typographic apostrophe becomes a plain one.
    """

    lowercase: bool = True
    strip_punctuation: bool = False

    def apply(self, text: str) -> str:
        """The text as the model reads it."""
        text = unicodedata.normalize("NFC", text)
        if self.lowercase:
            text = text.lower()
        if self.strip_punctuation:
            text = _strip_punctuation(text.replace("\u2019", "'"))
        return " ".join(text.split())

    def to_json(self) -> dict[str, bool]:
        """As it stands in a manifest."""
        return {"lowercase": self.lowercase, "strip_punctuation": self.strip_punctuation}

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> "TextNormalization":
        """Reads what `to_json` wrote; raises InvalidAdapter naming the key."""
        flags = {}
        for key in ("lowercase", "strip_punctuation"):
            flag = value.get(key)
            if not isinstance(flag, bool):
                raise InvalidAdapter(f"normalization.{key} is not true or false", field=f"normalization.{key}")
            flags[key] = flag
        return cls(**flags)


def _strip_punctuation(text: str) -> str:
    """The text with a blank in place of all that belongs to no word."""
    kept = []
    in_word = False
    for char, following in zip_longest(text, text[1:], fillvalue=""):
        if char.isalnum():
            in_word = True
        elif in_word and char in _INSIDE_WORDS:
            in_word = following.isalnum()
        elif in_word:
            in_word = unicodedata.category(char) in _MARKS
        kept.append(char if in_word else " ")
    return "".join(kept)


@dataclass(frozen=True, slots=True)
class EncodedHypothesis:
    """One hypothesis as the model reads it.

    Attributes:
        token_ids: with the special tokens, and the context in front where the adapter uses it.
        type_ids: the segment of each token.
        scored_from: the hypothesis' first token; scored are all from there, the closing separator included,
            so that an empty transcript has a score too.
        truncated: whether the hypothesis was cut to fit.
    """

    token_ids: tuple[int, ...]
    type_ids: tuple[int, ...]
    scored_from: int
    truncated: bool

    @property
    def num_tokens(self) -> int:
        """How many tokens the model reads."""
        return len(self.token_ids)


@dataclass(frozen=True, slots=True)
class _Template:
    """The special tokens around the segments, and the segments' types, read off the tokenizer itself."""

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    first_type: int
    second_type: int


class TextEncoder:
    """Turns the hypotheses of a list into rows. Thread-safe: the tokenizer is never changed after construction.

    Special tokens in a transcript ("[SEP]") are text here, not markup.
    """

    def __init__(self, tokenizer: Tokenizer, *, max_tokens: int) -> None:
        """Takes over `tokenizer`; `max_tokens` is the longest row that the encoder has positions for."""
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True
        self.max_tokens = max_tokens
        self._tokenizer = tokenizer
        self._single = self._template(pair=False)
        self._pair = self._template(pair=True)

    def to_json(self) -> dict[str, Any]:
        """All that it is made of, for a process that does not load the base."""
        return {"tokenizer": self._tokenizer.to_str(), "max_tokens": self.max_tokens}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "TextEncoder":
        """One that encodes as the one that `to_json` came from."""
        return cls(Tokenizer.from_str(content["tokenizer"]), max_tokens=content["max_tokens"])

    @property
    def num_closing_tokens(self) -> int:
        """How many separators end a row without context; they are scored, and are no token of the text."""
        return len(self._single.after)

    def token_id(self, token: str) -> int | None:
        """Of a token by its name, such as "[MASK]"; None where the tokenizer has none of that name."""
        number: int | None = self._tokenizer.token_to_id(token)
        return number

    def encode(
        self,
        transcripts: Sequence[str],
        context: str,
        normalization: TextNormalization,
        uses_context: bool,
    ) -> list[EncodedHypothesis]:
        """Encodes one list, in its order.

        Where a row is too long, the context loses its beginning first, then every hypothesis of the list its end,
        at the same position.
        """
        texts = [normalization.apply(text) for text in transcripts]
        hypotheses = self._tokenize(texts)
        if not uses_context:
            return self._rows(self._single, (), hypotheses)
        [context_ids] = self._tokenize([normalization.apply(context)])
        return self._rows(self._pair, context_ids, hypotheses)

    def encode_with_words(
        self, texts: Sequence[str], normalization: TextNormalization
    ) -> list[tuple[EncodedHypothesis, tuple[int, ...]]]:
        """Each text as `encode` has it without context, and for each of its tokens the number of its word, from 0.

        Words are what white space parts in the normalised text. The special tokens before the text have -1, the
        closing separator has the number of words.
        """
        written = [normalization.apply(text) for text in texts]
        encoded = []
        for text, encoding in zip(
            written, self._tokenizer.encode_batch(written, add_special_tokens=False), strict=True
        ):
            [row] = self._rows(self._single, (), [tuple(encoding.ids)])
            num_kept = row.num_tokens - row.scored_from - len(self._single.after)
            # a token's last character is in its word; what it begins with may be the space in front
            words = [text.count(" ", 0, max(0, end - 1)) for _, end in encoding.offsets[:num_kept]]
            num_words = len(text.split())
            encoded.append((row, (*[-1] * row.scored_from, *words, *[num_words] * len(self._single.after))))
        return encoded

    def _tokenize(self, texts: list[str]) -> list[tuple[int, ...]]:
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [tuple(encoding.ids) for encoding in encodings]

    def _rows(
        self, template: _Template, context: tuple[int, ...], hypotheses: Sequence[tuple[int, ...]]
    ) -> list[EncodedHypothesis]:
        room = self.max_tokens - len(template.before) - len(template.between) - len(template.after)
        longest = min(room, max(map(len, hypotheses)))
        room_for_context = room - longest
        context = context[max(0, len(context) - room_for_context) :]
        head = (*template.before, *context, *template.between)
        head_types = (template.first_type,) * len(head)
        return [
            EncodedHypothesis(
                token_ids=(*head, *ids[:longest], *template.after),
                type_ids=head_types + (template.second_type,) * (min(len(ids), longest) + len(template.after)),
                scored_from=len(head),
                truncated=len(ids) > longest,
            )
            for ids in hypotheses
        ]

    def _template(self, *, pair: bool) -> _Template:
        """Reads the special tokens off an encoded example, so that every family's own layout is kept."""
        [word] = self._tokenize(["a"])
        encoding = self._tokenizer.encode("a", "a" if pair else None, add_special_tokens=True)
        ids, types = tuple(encoding.ids), tuple(encoding.type_ids)
        first = _find(ids, word, 0)
        last = _find(ids, word, first + len(word)) if pair else first
        return _Template(
            before=ids[:first],
            between=ids[first + len(word) : last] if pair else (),
            after=ids[last + len(word) :],
            first_type=types[first],
            second_type=types[last],
        )


def _find(ids: tuple[int, ...], part: tuple[int, ...], start: int) -> int:
    for at in range(start, len(ids) - len(part) + 1):
        if ids[at : at + len(part)] == part:
            return at
    raise ValueError("the tokenizer's template hides the text it encodes")

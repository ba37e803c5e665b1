"""Turns transcripts into token ids: normalisation, tokenisation and special tokens."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from tokenizers import Tokenizer

from lorb.errors import InvalidAdapter

# Unicode categories of combining marks. Many scripts write vowels and tones with marks, for which `isalnum` is false.
_MARKS = ("Mn", "Mc")
# Apostrophe, hyphen, and the zero-width joiner and non-joiner, which change how the letters around them are written.
_INSIDE_WORDS = "'-\u200c\u200d"


@dataclass(frozen=True, slots=True)
class TextNormalization:
    """How a transcript is normalised for the model. Stored in the adapter's manifest.

    Unicode is always composed (NFC) and white space always collapsed. Answers return transcripts as they were sent.

    Attributes:
        lowercase: convert to lower case; an uncased base does this anyway.
        strip_punctuation: keep only letters with their marks, digits, and apostrophes, hyphens and joiners inside a
            word; a typographic apostrophe becomes a plain one.
    """

    lowercase: bool = True
    strip_punctuation: bool = False

    def apply(self, text: str) -> str:
        """Returns the normalised text."""
        text = unicodedata.normalize("NFC", text)
        if self.lowercase:
            text = text.lower()
        if self.strip_punctuation:
            text = _strip_punctuation(text.replace("\u2019", "'"))
        return " ".join(text.split())

    def to_json(self) -> dict[str, bool]:
        """Returns the object `normalization` of a manifest."""
        return {"lowercase": self.lowercase, "strip_punctuation": self.strip_punctuation}

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> "TextNormalization":
        """Reads the object `normalization` of a manifest; raises InvalidAdapter that names the key."""
        flags = {}
        for key in ("lowercase", "strip_punctuation"):
            flag = value.get(key)
            if not isinstance(flag, bool):
                raise InvalidAdapter(
                    f"normalization.{key} is {flag!r}, not true or false", field=f"normalization.{key}"
                )
            flags[key] = flag
        return cls(**flags)


def _strip_punctuation(text: str) -> str:
    """Returns the text with a space in place of every character that is not part of a word."""
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
    """The tokens of one hypothesis.

    Attributes:
        token_ids: the tokens of the hypothesis, before them those of the context if the adapter uses it, and the
            special tokens around both.
        type_ids: the token type (segment) of each token.
        scored_from: the position of the hypothesis' first token. This token and all later ones are scored, the closing
            separator included, so that an empty transcript has a score too.
        truncated: whether the hypothesis was cut to fit the encoder.
    """

    token_ids: tuple[int, ...]
    type_ids: tuple[int, ...]
    scored_from: int
    truncated: bool

    @property
    def num_tokens(self) -> int:
        """The number of tokens."""
        return len(self.token_ids)


@dataclass(frozen=True, slots=True)
class _Template:
    """The special tokens around one text or around two, and the token types of the texts."""

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    first_type: int
    second_type: int


class TextEncoder:
    """Encodes the hypotheses of lists. Thread-safe: the tokenizer does not change after construction.

    Special tokens in a transcript, such as "[SEP]", are encoded as text.
    """

    def __init__(self, tokenizer: Tokenizer, *, max_tokens: int) -> None:
        """Takes ownership of `tokenizer`. max_tokens: the number of positions that the encoder has.

        Raises ValueError if the tokenizer has no place for a text, or if the special tokens leave no room for one.
        """
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True
        self.max_tokens = max_tokens
        self._tokenizer = tokenizer
        self._single = self._template(pair=False)
        self._pair = self._template(pair=True)
        num_special = max(len(each.before) + len(each.between) + len(each.after) for each in (self._single, self._pair))
        if max_tokens <= num_special:
            raise ValueError(f"the encoder has {max_tokens} positions, and special tokens take {num_special} of them")

    def to_json(self) -> dict[str, Any]:
        """Returns the tokenizer and `max_tokens`, for a process that does not load the base."""
        return {"tokenizer": self._tokenizer.to_str(), "max_tokens": self.max_tokens}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "TextEncoder":
        """Creates an encoder from the result of `to_json`."""
        return cls(Tokenizer.from_str(content["tokenizer"]), max_tokens=content["max_tokens"])

    @property
    def num_closing_tokens(self) -> int:
        """The number of separators after a hypothesis without context. These separators are scored too."""
        return len(self._single.after)

    def token_id(self, token: str) -> int | None:
        """Returns the id of a token such as "[MASK]"; None where the tokenizer has no such token."""
        number: int | None = self._tokenizer.token_to_id(token)
        return number

    def encode(
        self,
        transcripts: Sequence[str],
        context: str,
        normalization: TextNormalization,
        uses_context: bool,
    ) -> list[EncodedHypothesis]:
        """Encodes the hypotheses of one list, in order.

        If the context and the longest hypothesis do not fit the encoder together, the context loses its beginning
        first. Then all hypotheses are cut at the same position.
        """
        texts = [normalization.apply(text) for text in transcripts]
        hypotheses = self._tokenize(texts)
        if not uses_context:
            return self._assemble(self._single, (), hypotheses)
        [context_ids] = self._tokenize([normalization.apply(context)])
        return self._assemble(self._pair, context_ids, hypotheses)

    def encode_with_words(
        self, texts: Sequence[str], normalization: TextNormalization
    ) -> list[tuple[EncodedHypothesis, tuple[int, ...]]]:
        """Encodes each text without context. Returns for each text its tokens and the number of each token's word.

        White space in the normalised text separates words, and the first word has the number 0. Special tokens before
        the text have -1. The closing separator has the word number after the last word's.
        """
        normalized = [normalization.apply(text) for text in texts]
        encoded = []
        for text, encoding in zip(
            normalized, self._tokenizer.encode_batch(normalized, add_special_tokens=False), strict=True
        ):
            [row] = self._assemble(self._single, (), [tuple(encoding.ids)])
            num_text_tokens = row.num_tokens - row.scored_from - len(self._single.after)
            # a token's last character is in its word; its first character may be the space before the word
            words = [text.count(" ", 0, max(0, end - 1)) for _, end in encoding.offsets[:num_text_tokens]]
            num_words = len(text.split())
            encoded.append((row, (*[-1] * row.scored_from, *words, *[num_words] * len(self._single.after))))
        return encoded

    def _tokenize(self, texts: list[str]) -> list[tuple[int, ...]]:
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [tuple(encoding.ids) for encoding in encodings]

    def _assemble(
        self, template: _Template, context: tuple[int, ...], hypotheses: Sequence[tuple[int, ...]]
    ) -> list[EncodedHypothesis]:
        """Adds the context and the special tokens to the hypotheses of a list. Cuts what does not fit the encoder."""
        max_text_tokens = self.max_tokens - len(template.before) - len(template.between) - len(template.after)
        longest = min(max_text_tokens, max(map(len, hypotheses)))
        max_context_tokens = max_text_tokens - longest
        context = context[max(0, len(context) - max_context_tokens) :]
        prefix = (*template.before, *context, *template.between)
        prefix_types = (template.first_type,) * len(prefix)
        return [
            EncodedHypothesis(
                token_ids=(*prefix, *ids[:longest], *template.after),
                type_ids=prefix_types + (template.second_type,) * (min(len(ids), longest) + len(template.after)),
                scored_from=len(prefix),
                truncated=len(ids) > longest,
            )
            for ids in hypotheses
        ]

    def _template(self, *, pair: bool) -> _Template:
        """Reads the special tokens from an encoded example, because every family has its own layout."""
        [word] = self._tokenize(["a"])
        if not word:
            raise ValueError("the tokenizer has no token for the letter a")
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
    for position in range(start, len(ids) - len(part) + 1):
        if ids[position : position + len(part)] == part:
            return position
    raise ValueError("the tokenizer's special tokens cannot be separated from the text between them")

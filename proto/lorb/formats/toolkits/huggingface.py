"""Outputs of Hugging Face's transformers, dumped as JSON: texts and scores of one utterance or of a batch.

transformers writes no such file; these are its own fields, tensors made lists by tolist():
    Whisper     {"text": [...], "sequences_scores": [...]}          GenerationMixin.generate(model, num_beams=n,
                num_return_sequences=n, return_dict_in_generate=True, output_scores=True) and batch_decode; a batch is
                flat, n for each, and needs "ids". Whisper's own generate gives n copies of the best (transformers
                issue 33445)
    Wav2Vec2    {"text": [...], "logit_score": [...], "lm_score": [...]}     Wav2Vec2DecoderWithLMOutput of
                Wav2Vec2ProcessorWithLM.decode or .batch_decode(n_best=n); a batch is nested
"id", or "ids" of a batch, and "ref" or "refs" may be added. Scores are natural log, higher is better:
sequences_scores divided by length already; lm_score is pyctcdecode's total, logit_score in it
(kensho-technologies/pyctcdecode, decoder.py: OutputBeam).
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from lorb.errors import MalformedFile
from lorb.formats.options import FormatOptions
from lorb.formats.parsing.json_documents import documents
from lorb.formats.parsing.json_values import checked_array, checked_number, checked_object, checked_text
from lorb.formats.parsing.lines import whole_text
from lorb.formats.parsing.list_names import named_records
from lorb.formats.parsing.token_marks import plain_words
from lorb.formats.record import ListRecord
from lorb.formats.warnings import Notices

_TEXTS = ("text", "texts", "sequences")
_OURS = {*_TEXTS, "sequences_scores", "logit_score", "lm_score", "word_offsets", "id", "ids", "ref", "refs"}


def read_huggingface(path: Path, options: FormatOptions, notices: Notices) -> Iterator[ListRecord]:
    """Yields the lists of one or more outputs. Raises MalformedFile."""
    return named_records(path, _lists(path, notices))


def _lists(path: Path, notices: Notices) -> Iterator[tuple[int, dict[str, object]]]:
    for line, member in documents(path, whole_text(path)):
        output = _Output(checked_object(member, path, line, "the output"), path, line, notices)
        for fields in output.lists():
            yield line, fields


class _Output:
    """One output as read, with its place."""

    def __init__(self, fields: Mapping[str, object], path: Path, line: int, notices: Notices) -> None:
        self._fields = fields
        self._path = path
        self._line = line
        self._notices = notices

    def lists(self) -> Iterator[dict[str, object]]:
        """Each utterance's fields in the native shape. Raises MalformedFile."""
        decoded = self._batch(next((key for key in _TEXTS if key in self._fields), "text"))
        batch = [[self._words(text) for text in texts] for texts in decoded]
        scores, logits = self._scores(batch)
        ids, references = self._names("id", len(batch)), self._names("ref", len(batch))
        others = {key: value for key, value in self._fields.items() if key not in _OURS}
        for i, texts in enumerate(batch):
            hypotheses: list[dict[str, object]] = [{"text": text} for text in texts]
            for j, hypothesis in enumerate(hypotheses):
                if scores is not None:
                    hypothesis["score"] = scores[i][j]
                if scores is not None and logits is not None:
                    hypothesis["component_scores"] = {"logit": logits[i][j], "lm": scores[i][j] - logits[i][j]}
            yield {**others, **_named("id", ids, i), **_named("ref", references, i), "hyps": hypotheses}

    def _batch(self, key: str) -> list[Sequence[object]]:
        """Texts, a list for each utterance."""
        value = self._fields.get(key)
        if isinstance(value, str):
            return [[value]]
        values = self._array(value, key)
        if any(isinstance(each, list) for each in values):
            return [self._array(each, key) for each in values]
        if "ids" not in self._fields:
            return [values]
        num_lists = len(self._array(self._fields["ids"], "ids"))
        if not num_lists or len(values) % num_lists:
            raise self._error(f'"{key}" has {len(values)} texts for {num_lists} ids: no multiple')
        size = len(values) // num_lists
        return [values[start : start + size] for start in range(0, len(values), size)] if size else [values]

    def _scores(self, batch: list[list[str]]) -> tuple[list[list[float]] | None, list[list[float]] | None]:
        """Total and logit scores, shaped as the texts; None where there are none."""
        if self._fields.get("sequences_scores") is not None:
            scores = self._shaped("sequences_scores", batch)
            # the beams of one utterance are sorted: where scores rise, the next one's begin
            if len(batch) == 1 and "ids" not in self._fields and any(b > a for a, b in pairwise(scores[0])):
                raise self._error('"sequences_scores" rise, so these are texts of more than one utterance: give "ids"')
            return scores, None
        if self._fields.get("lm_score") is not None:
            self._notices.add("outputs with lm_score as the total score, which logit_score is a part of")
            has_logits = self._fields.get("logit_score") is not None
            return self._shaped("lm_score", batch), self._shaped("logit_score", batch) if has_logits else None
        if self._fields.get("logit_score") is not None:
            return self._shaped("logit_score", batch), None
        self._notices.add("outputs without scores")
        return None, None

    def _shaped(self, key: str, batch: list[list[str]]) -> list[list[float]]:
        value = self._fields[key]
        flat: list[float] = []
        for each in value if isinstance(value, list) else [value]:
            flat += [self._number(inner, key) for inner in (each if isinstance(each, list) else [each])]
        if len(flat) != sum(map(len, batch)):
            raise self._error(f'"{key}" has {len(flat)} numbers for {sum(map(len, batch))} texts')
        remaining = iter(flat)
        return [[next(remaining) for _ in texts] for texts in batch]

    def _names(self, key: str, num_lists: int) -> list[str] | None:
        value = self._fields.get(f"{key}s", self._fields.get(key))
        if value is None:
            return None
        names = [value] if isinstance(value, str) else self._array(value, f"{key}s")
        if len(names) != num_lists:
            raise self._error(f'"{key}s" has {len(names)} entries for {num_lists} lists')
        return [checked_text(name, self._path, self._line, f'"{key}"') for name in names]

    def _words(self, text: object) -> str:
        if not isinstance(text, str):
            raise self._error("a text is not text: decode sequences with batch_decode before they are dumped")
        words = plain_words(text, self._notices)
        self._notices.add("texts without the blank that they began with", int(text[:1] == " "))
        return words

    def _array(self, value: object, key: str) -> Sequence[object]:
        return checked_array(value, self._path, self._line, f'"{key}"')

    def _number(self, value: object, key: str) -> float:
        return checked_number(value, self._path, self._line, f'a number of "{key}"')

    def _error(self, message: str) -> MalformedFile:
        return MalformedFile(self._path, self._line, message)


def _named(key: str, values: Sequence[str] | None, i: int) -> dict[str, object]:
    return {} if values is None else {key: values[i]}

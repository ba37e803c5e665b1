"""Reads outputs of Hugging Face transformers dumped as JSON: texts and scores of one utterance or of a batch.

transformers writes no such file: dump its output fields, with tensors as lists (tolist()).
    Whisper     {"text": [...], "sequences_scores": [...]} from GenerationMixin.generate(model, num_beams=n,
                num_return_sequences=n, return_dict_in_generate=True, output_scores=True) and batch_decode. A batch is
                flat, n texts for each utterance, and needs "ids". Whisper's own generate gives n copies of the best
                text (transformers issue 33445).
    Wav2Vec2    {"text": [...], "logit_score": [...], "lm_score": [...]} from Wav2Vec2ProcessorWithLM.decode or
                .batch_decode(n_best=n). A batch is nested.
You may add "id" and "ref", or "ids" and "refs" for a batch. Scores are natural log, higher is better.
sequences_scores are already divided by length. lm_score is pyctcdecode's total score, which includes logit_score
(kensho-technologies/pyctcdecode, decoder.py, OutputBeam).
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from lorb.errors import MalformedFile
from lorb.formats.notices import Notices
from lorb.formats.options import FormatOptions
from lorb.formats.parsing.file_names import named_records
from lorb.formats.parsing.json_cursor import documents
from lorb.formats.parsing.lines import read_text
from lorb.formats.parsing.token_marks import strip_token_marks
from lorb.formats.parsing.values import require_array, require_number, require_object, require_text
from lorb.formats.record import ListRecord

_TEXTS = ("text", "texts", "sequences")
_CONVERTED = {*_TEXTS, "sequences_scores", "logit_score", "lm_score", "word_offsets", "id", "ids", "ref", "refs"}


def read_huggingface(path: Path, options: FormatOptions, notices: Notices) -> Iterator[ListRecord]:
    """Yields the lists of one or more outputs; lists without ids are named after the file. Raises MalformedFile."""
    return named_records(path, _lists(path, notices))


def _lists(path: Path, notices: Notices) -> Iterator[tuple[int, dict[str, object]]]:
    for line, document in documents(path, read_text(path)):
        output = _Output(require_object(document, path, line, "the output"), path, line, notices)
        for fields in output.lists():
            yield line, fields


class _Output:
    """One dumped output: an utterance or a batch."""

    def __init__(self, fields: Mapping[str, object], path: Path, line: int, notices: Notices) -> None:
        self._fields = fields
        self._path = path
        self._line = line
        self._notices = notices

    def lists(self) -> Iterator[dict[str, object]]:
        """Yields the fields of each utterance in the native shape. Raises MalformedFile."""
        decoded = self._batch(next((key for key in _TEXTS if key in self._fields), "text"))
        batch = [[self._words(text) for text in texts] for texts in decoded]
        scores, logits = self._scores(batch)
        ids, references = self._names("id", len(batch)), self._names("ref", len(batch))
        others = {key: value for key, value in self._fields.items() if key not in _CONVERTED}
        for i, texts in enumerate(batch):
            hypotheses: list[dict[str, object]] = [{"text": text} for text in texts]
            for j, hypothesis in enumerate(hypotheses):
                if scores is not None:
                    hypothesis["score"] = scores[i][j]
                if scores is not None and logits is not None:
                    hypothesis["component_scores"] = {"logit": logits[i][j], "lm": scores[i][j] - logits[i][j]}
            yield {**others, **_named("id", ids, i), **_named("ref", references, i), "hyps": hypotheses}

    def _batch(self, key: str) -> list[Sequence[object]]:
        """Returns one array of texts for each utterance."""
        value = self._fields.get(key)
        if isinstance(value, str):
            return [[value]]
        values = self._array(value, key)
        if any(isinstance(texts, list) for texts in values):
            return [self._array(texts, key) for texts in values]
        if "ids" not in self._fields:
            return [values]
        num_lists = len(self._array(self._fields["ids"], "ids"))
        if not num_lists or len(values) % num_lists:
            raise self._error(
                f'"{key}" has {len(values)} texts for {num_lists} ids: give the same number of texts for each id'
            )
        size = len(values) // num_lists
        return [values[start : start + size] for start in range(0, len(values), size)] if size else [values]

    def _scores(self, batch: list[list[str]]) -> tuple[list[list[float]] | None, list[list[float]] | None]:
        """Returns (total scores, logit scores) in the shape of the texts; None for scores that are missing."""
        if self._fields.get("sequences_scores") is not None:
            scores = self._shaped("sequences_scores", batch)
            # the beams of an utterance are sorted, so a score above the previous score starts another utterance
            if len(batch) == 1 and "ids" not in self._fields and any(b > a for a, b in pairwise(scores[0])):
                raise self._error('"sequences_scores" increase, so they belong to more than one utterance: give "ids"')
            return scores, None
        if self._fields.get("lm_score") is not None:
            self._notices.add("outputs whose lm_score is the total score: it includes logit_score")
            has_logits = self._fields.get("logit_score") is not None
            return self._shaped("lm_score", batch), self._shaped("logit_score", batch) if has_logits else None
        if self._fields.get("logit_score") is not None:
            return self._shaped("logit_score", batch), None
        self._notices.add("outputs without scores")
        return None, None

    def _shaped(self, key: str, batch: list[list[str]]) -> list[list[float]]:
        value = self._fields[key]
        flat: list[float] = []
        for row in value if isinstance(value, list) else [value]:
            flat += [self._number(score, key) for score in (row if isinstance(row, list) else [row])]
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
        return [require_text(name, self._path, self._line, f'"{key}"') for name in names]

    def _words(self, text: object) -> str:
        if not isinstance(text, str):
            raise self._error("a text is not a string: decode sequences with batch_decode before dumping them")
        words = strip_token_marks(text, self._notices)
        self._notices.add("texts with a leading space removed", int(text[:1] == " "))
        return words

    def _array(self, value: object, key: str) -> Sequence[object]:
        return require_array(value, self._path, self._line, f'"{key}"')

    def _number(self, value: object, key: str) -> float:
        return require_number(value, self._path, self._line, f'an entry of "{key}"')

    def _error(self, message: str) -> MalformedFile:
        return MalformedFile(self._path, self._line, message)


def _named(key: str, values: Sequence[str] | None, i: int) -> dict[str, object]:
    return {} if values is None else {key: values[i]}

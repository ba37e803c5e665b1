"""Reads SRILM n-best files in the three formats of nbest-format(5). A file holds one list, named after the file.

Source: NBestHyp::write and NBestHyp::parse (SRILM, lm/src/NBest.cc).
    NBestList1.0    (score) word ...
    NBestList2.0    (score) word ( st: 0.1 et: 0.5 g: -12 a: -345 ) ...
    no header       ascore lscore nwords word ...
Scores of the first two formats are bytelogs (log to base 1.0001, divided by 1024), scores of the last format are log10;
higher is better. Without a header, the score of a hypothesis is (ascore + W * lscore + V * nwords) / W: nbest-lattice
divides by the language model weight W before it computes posteriors; V is the word weight. The reader drops pauses,
sentence marks, phones and states.
"""

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from lorb.errors import MalformedFile
from lorb.formats.notices import Notices
from lorb.formats.options import FormatOptions
from lorb.formats.parsing.file_names import file_stem
from lorb.formats.parsing.lines import terminated_lines
from lorb.formats.parsing.values import parse_score
from lorb.formats.record import ListRecord

_HEADERS = ("NBestList1.0", "NBestList2.0")
_BYTELOG = 1024 / 10000.5  # one bytelog as a natural log, with the constants of SRILM's Prob.h
_FIELDS_PER_TOKEN = 11
_FIELD_LABELS = {1: "(", 2: "st:", 4: "et:", 6: "g:", 8: "a:", 10: ")"}
_STATE = re.compile(r".*-[0-9]")
_NON_WORDS = {"-pau-", "<s>", "</s>"}
_FIRST_LINE = re.compile(r"\(-?[0-9.]+\)(?: .*)?|[-+.0-9e]+ [-+.0-9e]+ [0-9]+(?: .*)?", re.IGNORECASE)


def is_srilm_line(text: str) -> bool:
    """Returns whether `text` can be the first line of an SRILM n-best file."""
    return text.strip() in _HEADERS or bool(_FIRST_LINE.fullmatch(text.rstrip()))


def read_srilm(path: Path, options: FormatOptions, notices: Notices) -> Iterator[ListRecord]:
    """Yields the list of a file, or of each file in a folder. Raises MalformedFile."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    for file in files:
        if not file.name.startswith("."):
            yield _list_of_file(file, options, notices)


def _list_of_file(path: Path, options: FormatOptions, notices: Notices) -> ListRecord:
    header = ""
    hypotheses: list[dict[str, object]] = []
    for line, text in terminated_lines(path):
        if text.strip() in _HEADERS:
            if hypotheses or header:
                raise MalformedFile(path, line, "a second list begins: give one file for each utterance")
            header = text.strip()
        elif header == _HEADERS[1]:
            hypotheses.append(_backtrace(text.split(), path, line, notices))
        elif header or text.startswith("("):
            hypotheses.append(_composite(text.split(), path, line, notices))
        else:
            hypotheses.append(_three_scores(text.split(), path, line, options, notices))
    if not hypotheses:
        raise MalformedFile(path, 1, "the file holds no hypotheses")
    ranked = sorted(hypotheses, key=_score, reverse=True)
    notices.add("lists sorted by their scores", int(ranked != hypotheses))
    return ListRecord.of({"id": file_stem(path), "hyps": ranked}, path, 1)


def _score(hypothesis: dict[str, object]) -> float:
    return float(str(hypothesis["score"]))


def _composite(fields: Sequence[str], path: Path, line: int, notices: Notices) -> dict[str, object]:
    return {"text": _words(fields[1:], notices), "score": _composite_score(fields[0], path, line, notices)}


def _composite_score(field: str, path: Path, line: int, notices: Notices) -> float:
    if not (field.startswith("(") and field.endswith(")")):
        raise MalformedFile(path, line, f"{field[:80]!r} is not a score in brackets")
    notices.add("scores converted from bytelogs to natural log")
    return parse_score(field[1:-1], path, line, notices) * _BYTELOG


def _backtrace(fields: Sequence[str], path: Path, line: int, notices: Notices) -> dict[str, object]:
    score = _composite_score(fields[0], path, line, notices)
    if (len(fields) - 1) % _FIELDS_PER_TOKEN:
        raise MalformedFile(path, line, "a word lacks its ( st: et: g: a: )")
    words, acoustic, grammar, previous_end = [], 0.0, 0.0, -1.0
    for i in range(1, len(fields), _FIELDS_PER_TOKEN):
        token = fields[i : i + _FIELDS_PER_TOKEN]
        if any(token[at] != label for at, label in _FIELD_LABELS.items()):
            raise MalformedFile(path, line, f"{token[0][:80]!r} is not followed by ( st: et: g: a: )")
        start, end, g, a = (parse_score(token[at], path, line, notices) for at in (3, 5, 7, 9))
        # As in SRILM, phones and states are skipped: they lie within the times of the preceding word.
        if start > previous_end and not _STATE.fullmatch(token[0]):
            words.append(token[0])
            acoustic, grammar, previous_end = acoustic + a, grammar + g, end
    components = {"acoustic": acoustic * _BYTELOG, "lm": grammar * _BYTELOG}
    return {"text": _words(words, notices), "score": score, "component_scores": components}


def _three_scores(
    fields: Sequence[str], path: Path, line: int, options: FormatOptions, notices: Notices
) -> dict[str, object]:
    if len(fields) < 3 or not fields[2].isascii() or not fields[2].isdigit():
        raise MalformedFile(path, line, 'not "ascore lscore nwords word ...", and there is no NBestList header')
    acoustic, language = (parse_score(field, path, line, notices) * math.log(10) for field in fields[:2])
    weight = options.srilm_lm_weight
    words = int(fields[2]) * options.srilm_word_weight * math.log(10)
    notices.add(
        f"scores computed from log10 scores, in natural log: (acoustic + {weight:g} * lm"
        f"{f' + {options.srilm_word_weight:g} * words' if words else ''}) / {weight:g}"
    )
    return {
        "text": _words(fields[3:], notices),
        "score": (acoustic + words) / weight + language,
        "component_scores": {"acoustic": acoustic, "lm": language},
    }


def _words(words: Sequence[str], notices: Notices) -> str:
    kept = [word for word in words if word not in _NON_WORDS]
    if len(kept) != len(words):
        notices.add("texts with -pau-, <s> or </s> removed")
    return " ".join(kept)

"""Kaldi's n-best lists as archives of words and costs, keys utterance-1, utterance-2, ..., split at the last "-".

As lattice-to-nbest | nbest-to-linear (kaldi-asr/kaldi: src/latbin) write them in text mode and
steps/pytorchnn/lmrescore_nbest_pytorchnn.sh names them, in one folder for each job: archives.N/words_text (after
int2sym.pl), archives.N/acwt (acoustic costs), archives.N/lmwt.withlm (graph and language model costs). Costs are
negative natural logs, lower is better, before the acoustic scale: score = -(scale * acoustic + graph).
"""

import re
from collections.abc import Iterator
from pathlib import Path

from lorb.errors import InvalidInput, MalformedFile
from lorb.formats.options import FormatOptions
from lorb.formats.parsing.keyed_lines import KeyedLines
from lorb.formats.parsing.numbered_folders import numbered_folders
from lorb.formats.parsing.score_text import parsed_score
from lorb.formats.record import ListRecord
from lorb.formats.warnings import Notices

WORDS = "words_text"
_KEY = re.compile(r"(.+)-([1-9][0-9]{0,8})")
_NUMBERS = re.compile(r"[-0-9. ]+")


def is_kaldi(path: Path) -> bool:
    """Whether `path` is a folder of this format."""
    return path.is_dir() and bool(_words_files(path))


def read_kaldi(path: Path, options: FormatOptions, notices: Notices) -> Iterator[ListRecord]:
    """Yields the lists of a file of words, or of a folder with such files, reading costs in step.

    Raises:
        MalformedFile: a file is torn, or an id is missing from one of them.
        InvalidInput: there are costs and no acoustic scale is given.
    """
    files = _words_files(path) if path.is_dir() else [path]
    if not files:
        raise MalformedFile(path, 0, f"no {WORDS} in it or in archives.1: int2sym.pl makes it of words")
    for words in files:
        yield from _lists(words, _Costs.beside(words, options, notices), notices)


def _words_files(path: Path) -> list[Path]:
    if (path / WORDS).is_file():
        return [path / WORDS]
    files = [folder / WORDS for folder in numbered_folders(path, "archives.")]
    return files if any(file.is_file() for file in files) else []


def _lists(words_path: Path, costs: "_Costs | None", notices: Notices) -> Iterator[ListRecord]:
    words = KeyedLines(words_path)
    while words.key is not None:
        utterance, _ = _split_key(words)
        line = words.line
        hypotheses: dict[int, dict[str, object]] = {}
        while words.key is not None and _split_key(words)[0] == utterance:
            rank = _split_key(words)[1]
            if rank in hypotheses:
                raise MalformedFile(words_path, words.line, f"id {words.key!r} comes twice")
            hypotheses[rank] = _hypothesis(words, costs)
        # `sort` puts utterance-10 before utterance-2
        ranked = [hypotheses[rank] for rank in sorted(hypotheses)]
        if all(_NUMBERS.fullmatch(str(each["text"])) for each in ranked):
            notices.add("lists of numbers alone: of symbols, int2sym.pl -f 2- words.txt makes words")
        yield ListRecord.of({"id": utterance, "hyps": ranked}, words_path, line)
    if costs is not None:
        costs.expect_end(words)


def _split_key(words: KeyedLines) -> tuple[str, int]:
    match = _KEY.fullmatch(words.key or "")
    if match is None:
        raise MalformedFile(words.path, words.line, f"id {words.key!r} does not end in -1, -2, ..., as n-best keys do")
    return match[1], int(match[2])


def _hypothesis(words: KeyedLines, costs: "_Costs | None") -> dict[str, object]:
    key, line = words.key or "", words.line
    text = words.take()
    return {"text": text} if costs is None else {"text": text, **costs.take(key, words, line)}


class _Costs:
    """Acoustic and graph costs, read in step with their words."""

    def __init__(self, acoustic: KeyedLines, graph: KeyedLines, scale: float, notices: Notices) -> None:
        self._acoustic = acoustic
        self._graph = graph
        self._scale = scale
        self._notices = notices

    @classmethod
    def beside(cls, words: Path, options: FormatOptions, notices: Notices) -> "_Costs | None":
        """The costs in the folder of `words`, or None where it has none. Raises InvalidInput, MalformedFile."""
        acoustic, graph = words.parent / options.acoustic_costs, words.parent / options.graph_costs
        if not acoustic.exists() and not graph.exists():
            notices.add(f"files of words without costs: no {acoustic.name} and no {graph.name} beside them")
            return None
        if options.acoustic_scale is None:
            raise InvalidInput(
                f"{acoustic}: the acoustic scale is not known: give --acoustic-scale, as lattice-to-nbest had it "
                "(1.0 for most chain models, about 0.1 for others)",
                field="acoustic_scale",
            )
        return cls(KeyedLines(acoustic), KeyedLines(graph), options.acoustic_scale, notices)

    def take(self, key: str, words: KeyedLines, line: int) -> dict[str, object]:
        """Score and component scores of `key`, natural log, higher is better. Raises MalformedFile."""
        acoustic, graph = (self._score(costs, key, words, line) for costs in (self._acoustic, self._graph))
        self._notices.add(f"scores made of costs: -({self._scale:g} * acoustic + graph)")
        return {
            "score": self._scale * acoustic + graph,
            "component_scores": {"acoustic": acoustic, "graph": graph},
        }

    def expect_end(self, words: KeyedLines) -> None:
        """Sees that no cost is left. Raises MalformedFile."""
        self._acoustic.expect_end(words)
        self._graph.expect_end(words)

    def _score(self, costs: KeyedLines, key: str, words: KeyedLines, line: int) -> float:
        cost_line = costs.line
        return -parsed_score(costs.expect(key, words, line), costs.path, cost_line, self._notices)

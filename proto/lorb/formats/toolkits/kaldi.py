"""Reads Kaldi n-best archives: text files of words and of costs. Their keys are utterance-1, utterance-2, ...

Source: lattice-to-nbest | nbest-to-linear in text mode (kaldi-asr/kaldi, src/latbin). The file names are those of
steps/pytorchnn/lmrescore_nbest_pytorchnn.sh, with one folder for each job: archives.N/words_text (words, after
int2sym.pl), archives.N/acwt (acoustic costs), archives.N/lmwt.withlm (graph and language model costs). Costs are
negative natural logs, lower is better. The acoustic scale is not applied yet: score = -(scale * acoustic + graph).
"""

import re
from collections.abc import Iterator
from pathlib import Path

from lorb.errors import InvalidInput, MalformedFile
from lorb.formats.notices import Notices
from lorb.formats.options import FormatOptions
from lorb.formats.parsing.file_names import numbered_folders
from lorb.formats.parsing.keyed_lines import KeyedLines
from lorb.formats.parsing.values import parse_score
from lorb.formats.record import ListRecord

WORDS = "words_text"
_KEY = re.compile(r"(.+)-([1-9][0-9]{0,8})")
_NUMBERS = re.compile(r"[-0-9. ]+")


def is_kaldi(path: Path) -> bool:
    """Returns whether `path` is a folder of Kaldi n-best archives."""
    return path.is_dir() and bool(_words_files(path))


def read_kaldi(path: Path, options: FormatOptions, notices: Notices) -> Iterator[ListRecord]:
    """Yields the lists of a words_text file, or of a folder with such files, together with their costs.

    Raises:
        MalformedFile: a file is truncated, or an id is missing from one of the files.
        InvalidInput: the folder has costs, and `options.acoustic_scale` is None.
    """
    files = _words_files(path) if path.is_dir() else [path]
    if not files:
        raise MalformedFile(path, 0, f"no {WORDS} in it or in archives.1: make it from the words with int2sym.pl")
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
                raise MalformedFile(words_path, words.line, f"id {words.key!r} is repeated")
            hypotheses[rank] = _hypothesis(words, costs)
        # sorted by number: `sort` puts utterance-10 before utterance-2
        ranked = [hypotheses[rank] for rank in sorted(hypotheses)]
        if all(_NUMBERS.fullmatch(str(hypothesis["text"])) for hypothesis in ranked):
            notices.add(
                "lists with only numbers: if these are symbol ids, convert them with int2sym.pl -f 2- words.txt"
            )
        yield ListRecord.of({"id": utterance, "hyps": ranked}, words_path, line)
    if costs is not None:
        costs.expect_end(words)


def _split_key(words: KeyedLines) -> tuple[str, int]:
    match = _KEY.fullmatch(words.key or "")
    if match is None:
        raise MalformedFile(words.path, words.line, f"id {words.key!r} does not end in -1, -2, ..., unlike n-best keys")
    return match[1], int(match[2])


def _hypothesis(words: KeyedLines, costs: "_Costs | None") -> dict[str, object]:
    key, line = words.key or "", words.line
    text = words.next_value()
    return {"text": text} if costs is None else {"text": text, **costs.scores(key, words, line)}


class _Costs:
    """The acoustic and graph costs of one words_text file, in the order of that file."""

    def __init__(self, acoustic: KeyedLines, graph: KeyedLines, scale: float, notices: Notices) -> None:
        self._acoustic = acoustic
        self._graph = graph
        self._scale = scale
        self._notices = notices

    @classmethod
    def beside(cls, words: Path, options: FormatOptions, notices: Notices) -> "_Costs | None":
        """Opens the costs beside `words`; None if there are no cost files. Raises InvalidInput, MalformedFile."""
        acoustic, graph = words.parent / options.acoustic_costs, words.parent / options.graph_costs
        if not acoustic.exists() and not graph.exists():
            notices.add(f"files of words without costs: neither {acoustic.name} nor {graph.name} is beside them")
            return None
        if options.acoustic_scale is None:
            raise InvalidInput(
                f"{acoustic}: the acoustic scale is not known: give --acoustic-scale, the value of lattice-to-nbest "
                "(1.0 for most chain models, about 0.1 for others)",
                field="acoustic_scale",
            )
        return cls(KeyedLines(acoustic), KeyedLines(graph), options.acoustic_scale, notices)

    def scores(self, key: str, words: KeyedLines, line: int) -> dict[str, object]:
        """Returns "score" and "component_scores" of `key`: natural log, higher is better. Raises MalformedFile."""
        acoustic, graph = (self._score(costs, key, words, line) for costs in (self._acoustic, self._graph))
        self._notices.add(f"scores computed from costs: -({self._scale:g} * acoustic + graph)")
        return {
            "score": self._scale * acoustic + graph,
            "component_scores": {"acoustic": acoustic, "graph": graph},
        }

    def expect_end(self, words: KeyedLines) -> None:
        """Raises MalformedFile if not all costs were read."""
        self._acoustic.expect_end(words)
        self._graph.expect_end(words)

    def _score(self, costs: KeyedLines, key: str, words: KeyedLines, line: int) -> float:
        cost_line = costs.line
        return -parse_score(costs.expect(key, words, line), costs.path, cost_line, self._notices)

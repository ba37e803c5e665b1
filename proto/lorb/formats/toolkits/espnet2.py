"""ESPnet2's n-best folders: {n}best_recog/text and {n}best_recog/score, lines "utterance value".

As espnet2/bin/asr_inference.py writes them through espnet2/fileio/datadir_writer.py (espnet/espnet) with --nbest n, one
set for each job: DIR/logdir/output.1, output.2, ...; asr.sh merges the best hypotheses alone. DIR may be any of the
three levels. A list ends at its last hypothesis: later files lack the utterance. Scores are str() of a float or of
a tensor, natural log, higher is better. Of OWSM's folders (s2t_inference.py) text_nospecial is read.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from lorb.errors import MalformedFile
from lorb.formats.options import FormatOptions
from lorb.formats.parsing.keyed_lines import KeyedLines
from lorb.formats.parsing.numbered_folders import numbered_folders
from lorb.formats.parsing.score_text import parsed_score
from lorb.formats.parsing.token_marks import plain_words
from lorb.formats.record import ListRecord
from lorb.formats.warnings import Notices


def is_espnet2(path: Path) -> bool:
    """Whether `path` is a folder of this format."""
    return path.is_dir() and bool(_split_folders(path))


def read_espnet2(path: Path, options: FormatOptions, notices: Notices) -> Iterator[ListRecord]:
    """Yields the lists of a folder, reading its files in step. Raises MalformedFile."""
    folders = _split_folders(path)
    if not folders:
        raise MalformedFile(path, 0, "no 1best_recog/text in it, in output.1 or in logdir/output.1")
    for folder in folders:
        yield from _lists_of_split(folder, notices)


def _split_folders(path: Path) -> list[Path]:
    for parent in (path / "logdir", path):
        splits = numbered_folders(parent, "output.")
        if any((folder / "1best_recog").is_dir() for folder in splits):
            return splits
    return [path] if (path / "1best_recog").is_dir() else []


def _lists_of_split(folder: Path, notices: Notices) -> Iterator[ListRecord]:
    ranks = [_Rank(rank, notices) for rank in numbered_folders(folder, "", "best_recog")]
    if not ranks:
        raise MalformedFile(folder, 0, "no 1best_recog in it: did its job fail?")
    texts = ranks[0].texts
    while texts.key is not None:
        utterance, line = texts.key, texts.line
        hypotheses = []
        for rank in ranks:
            if rank.texts.key != utterance:
                break
            hypotheses.append(rank.take(utterance))
        yield ListRecord.of({"id": utterance, "hyps": hypotheses}, texts.path, line)
    for better, rank in pairwise(ranks):
        rank.texts.expect_end(better.texts)
    for rank in ranks:
        if rank.scores is not None:
            rank.scores.expect_end(rank.texts)


class _Rank:
    """The texts and scores of the n-th best hypotheses of one split."""

    def __init__(self, folder: Path, notices: Notices) -> None:
        special = folder / "text_nospecial"
        self.texts = KeyedLines(special if special.exists() else folder / "text")
        self.scores = KeyedLines(folder / "score") if (folder / "score").exists() else None
        self._notices = notices

    def take(self, utterance: str) -> dict[str, object]:
        """The hypothesis of `utterance`, which is the next one. Raises MalformedFile."""
        line = self.texts.line
        text = plain_words(self.texts.take(), self._notices)
        if self.scores is None:
            self._notices.add("hypotheses without a score: no file of scores beside their texts")
            return {"text": text}
        score_line = self.scores.line
        score = self.scores.expect(utterance, self.texts, line)
        return {"text": text, "score": parsed_score(score, self.scores.path, score_line, self._notices)}

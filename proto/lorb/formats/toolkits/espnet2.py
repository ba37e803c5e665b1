"""Reads ESPnet2 n-best folders: {n}best_recog/text and {n}best_recog/score with lines "utterance value".

Source: espnet2/bin/asr_inference.py with --nbest n, through espnet2/fileio/datadir_writer.py (espnet/espnet). Each job
writes its own folders, DIR/logdir/output.1, output.2, ...; asr.sh merges only the best hypotheses. The path may be DIR,
logdir or one output folder. A list with fewer hypotheses is missing from the folders of higher rank. Scores are printed
as a float or a tensor: natural log, higher is better. For OWSM (s2t_inference.py) the reader takes text_nospecial.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from lorb.errors import MalformedFile
from lorb.formats.notices import Notices
from lorb.formats.options import FormatOptions
from lorb.formats.parsing.file_names import numbered_folders
from lorb.formats.parsing.keyed_lines import KeyedLines
from lorb.formats.parsing.token_marks import strip_token_marks
from lorb.formats.parsing.values import parse_score
from lorb.formats.record import ListRecord


def is_espnet2(path: Path) -> bool:
    """Returns whether `path` is an ESPnet2 n-best folder."""
    return path.is_dir() and bool(_job_folders(path))


def read_espnet2(path: Path, options: FormatOptions, notices: Notices) -> Iterator[ListRecord]:
    """Yields the lists of an ESPnet2 n-best folder. Raises MalformedFile."""
    folders = _job_folders(path)
    if not folders:
        raise MalformedFile(path, 0, "no 1best_recog/text in it, in output.1 or in logdir/output.1")
    for folder in folders:
        yield from _lists_of_job(folder, notices)


def _job_folders(path: Path) -> list[Path]:
    for parent in (path / "logdir", path):
        jobs = numbered_folders(parent, "output.")
        if any((folder / "1best_recog").is_dir() for folder in jobs):
            return jobs
    return [path] if (path / "1best_recog").is_dir() else []


def _lists_of_job(folder: Path, notices: Notices) -> Iterator[ListRecord]:
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
            hypotheses.append(rank.next_hypothesis(utterance))
        yield ListRecord.of({"id": utterance, "hyps": hypotheses}, texts.path, line)
    for rank, next_rank in pairwise(ranks):
        next_rank.texts.expect_end(rank.texts)
    for rank in ranks:
        if rank.scores is not None:
            rank.scores.expect_end(rank.texts)


class _Rank:
    """The texts and scores of the n-th best hypotheses of one job."""

    def __init__(self, folder: Path, notices: Notices) -> None:
        without_tokens = folder / "text_nospecial"
        self.texts = KeyedLines(without_tokens if without_tokens.exists() else folder / "text")
        self.scores = KeyedLines(folder / "score") if (folder / "score").exists() else None
        self._notices = notices

    def next_hypothesis(self, utterance: str) -> dict[str, object]:
        """Reads the next hypothesis, which belongs to `utterance`. Raises MalformedFile."""
        line = self.texts.line
        text = strip_token_marks(self.texts.next_value(), self._notices)
        if self.scores is None:
            self._notices.add('hypotheses without a score: no file "score" beside "text"')
            return {"text": text}
        score_line = self.scores.line
        score = self.scores.expect(utterance, self.texts, line)
        return {"text": text, "score": parse_score(score, self.scores.path, score_line, self._notices)}

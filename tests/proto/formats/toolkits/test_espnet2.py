"""lorb.formats.toolkits.espnet2: n-best folders of ESPnet2."""

import shutil
from functools import partial
from pathlib import Path

import pytest

from lorb.formats.toolkits.espnet2 import is_espnet2, read_espnet2
from support.lists.formats_as_written import FOLDER, hypotheses, read_with, refusal


@pytest.fixture
def folder(tmp_path):
    """A copy of the sample folder that a test may change."""
    return Path(shutil.copytree(FOLDER / "espnet2", tmp_path / "test_other"))


read = partial(read_with, read_espnet2)


def edit(path, old, new):
    """Replaces text in a file."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_jobs_are_read_with_short_lists_and_tensors():
    """The lists of all jobs are read, also lists with fewer hypotheses and scores printed as tensors."""
    records, notices = read(FOLDER / "espnet2")
    assert hypotheses(records) == {
        "5338-284437-0002": [
            ("what that little cabin", -0.5246),
            ("what's that little cabin", -4.8279),
            ("whats that little cabin", -5.5978),
        ],
        "5338-284437-0003": [
            ("exclaimed trot of course", -0.8839),
            ("exclaimed trout of course", -4.6429),
            ("exclaimed trort of course", -5.0161),
        ],
        "3536-8226-0007": [
            ("of course it ain't said missus bossel", pytest.approx(-2.3890001)),
            ("of course it ain't said missus bosel", pytest.approx(-3.4193001)),
        ],
    }
    assert notices == ["6 scores parsed from tensor(...), which has four decimals"]
    assert [(record.path.parts[-3], record.line) for record in records] == [
        ("output.1", 1),
        ("output.1", 2),
        ("output.2", 1),
    ]


@pytest.mark.parametrize("place", ["logdir", "logdir/output.1"])
def test_any_level_may_be_named(place):
    """The path may be the folder of all jobs or of one job."""
    assert is_espnet2(FOLDER / "espnet2" / place)
    assert {"5338-284437-0002", "5338-284437-0003"} <= set(hypotheses(read(FOLDER / "espnet2" / place)[0]))


def test_jobs_and_ranks_are_ordered_by_their_numbers(tmp_path):
    """output.10 comes after output.2, and 10best_recog after 9best_recog."""
    for job in range(10, 0, -1):
        for n in range(1, 12):
            rank = tmp_path / f"output.{job}" / f"{n}best_recog"
            rank.mkdir(parents=True)
            (rank / "text").write_text(f"u{job} text {n}\n")
            (rank / "score").write_text(f"u{job} -{n}.5\n")
    found = hypotheses(read(tmp_path)[0])
    assert list(found) == [f"u{job}" for job in range(1, 11)]
    assert found["u2"] == [(f"text {n}", -n - 0.5) for n in range(1, 12)]


def test_an_empty_text_is_a_hypothesis(folder):
    """An empty text, which ESPnet writes for a short utterance, is a hypothesis."""
    edit(folder / "logdir/output.2/1best_recog/text", "of course it ain't said missus bossel", " ")
    assert hypotheses(read(folder)[0])["3536-8226-0007"][0] == ("", pytest.approx(-2.3890001))


def test_owsm_folders_give_the_text_without_special_tokens(folder):
    """In OWSM folders the reader takes text_nospecial."""
    for text in folder.glob("logdir/*/*/text"):
        text.with_name("text_nospecial").write_text(text.read_text())
        text.write_text("".join(line.replace(" ", " <eng><asr>", 1) + "\n" for line in text.read_text().splitlines()))
    assert hypotheses(read(folder)[0])["5338-284437-0002"][0][0] == "what that little cabin"


def test_folders_without_scores_give_unscored_lists(folder):
    """Without files of scores the lists have no scores, and a notice says so."""
    for score in folder.glob("logdir/*/*/score"):
        score.unlink()
    records, notices = read(folder)
    assert not any(record.nbest.has_scores for record in records)
    assert notices == ['8 hypotheses without a score: no file "score" beside "text"']


def test_a_score_that_is_missing_is_named_with_its_file(folder):
    """A missing score is an error that names the id and both files."""
    scores = folder / "logdir/output.1/2best_recog/score"
    edit(scores, scores.read_text().splitlines()[0] + "\n", "")
    error = refusal(lambda: read(folder))
    assert (error.path, error.line) == (str(scores), 1)
    assert f"id '5338-284437-0002' of {scores.with_name('text')}:1 is missing here" in error.message


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("1best_recog/text", "id '5338-284437-0009' is not in"),
        ("1best_recog/score", "id '5338-284437-0009' is not in"),
        ("3best_recog/text", "id '5338-284437-0009' is not in"),
    ],
)
def test_an_id_in_one_file_alone_is_an_error(folder, file, words):
    """An id that only one of the files has is an error."""
    path = folder / "logdir/output.1" / file
    path.write_text(path.read_text() + "5338-284437-0009 -1.0\n")
    error = refusal(lambda: read(folder))
    assert words in error.message or "id '5338-284437-0009' of" in error.message


def test_a_score_that_is_no_number_is_refused(folder):
    """A score that is not finite is refused with file and line."""
    scores = folder / "logdir/output.2/1best_recog/score"
    edit(scores, scores.read_text().split()[1], "nan")
    error = refusal(lambda: read(folder))
    assert (error.path, error.line) == (str(scores), 1)
    assert "'nan' is not a finite number" in error.message


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        ("logdir/output.1", "output.1 is missing, but output.2 exists"),
        ("logdir/output.1/2best_recog", "2best_recog is missing, but 3best_recog exists"),
        ("logdir/output.2/*", "no 1best_recog in it: did its job fail?"),
        ("logdir/output.2/1best_recog/text", "text: cannot be read: No such file"),
    ],
)
def test_what_a_job_did_not_write_is_an_error(folder, lost, words):
    """A missing job, rank or file is an error, since its utterances would be lost silently."""
    for path in folder.glob(lost):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert words in refusal(lambda: read(folder)).message


def test_another_folder_is_refused(tmp_path):
    """The message for another folder says which files are missing."""
    assert not is_espnet2(tmp_path)
    assert "no 1best_recog/text in it" in refusal(lambda: read(tmp_path)).message

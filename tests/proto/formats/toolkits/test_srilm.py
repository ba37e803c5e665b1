"""lorb.formats.toolkits.srilm: the three n-best formats of SRILM."""

import gzip
import math
from functools import partial

import pytest

from lorb.formats.toolkits.srilm import is_srilm_line, read_srilm
from support.lists.formats_as_written import FOLDER, hypotheses, read_with, refusal

read = partial(read_with, read_srilm)


def test_a_bytelog_is_1024_logs_to_base_1_0001(tmp_path):
    """Bytelogs are converted to natural log, with and without a header."""
    path = tmp_path / "u1"
    for header in ("NBestList1.0\n", ""):
        path.write_text(f"{header}(-100) yes\n(-200) no\n")
        scores = [score for _, score in hypotheses(read(path)[0])["u1"]]
        assert scores == pytest.approx([-100 * 1024 * math.log(1.0001), -200 * 1024 * math.log(1.0001)], rel=1e-7)


def test_composite_scores_are_read_and_pauses_left_out():
    """Scores of NBestList1.0 are read, and pauses are removed."""
    records, notices = read(FOLDER / "srilm/bytelog/5338-284437-0002")
    assert hypotheses(records) == {
        "5338-284437-0002": [
            ("what that little cabin", pytest.approx(-0.5246, abs=0.06)),
            ("what's that little cabin", pytest.approx(-4.8279, abs=0.06)),
            ("whats that little cabin", pytest.approx(-5.5978, abs=0.06)),
        ]
    }
    assert notices == ["3 texts with -pau-, <s> or </s> removed", "3 scores converted from bytelogs to natural log"]


def test_phones_and_states_of_a_backtrace_are_no_words():
    """In NBestList2.0 phones and states are dropped, and the scores of the words are summed."""
    (record,), _ = read(FOLDER / "srilm/bytelog/5338-284437-0003")
    first = record.nbest.hypotheses[0]
    assert first.transcript == "exclaimed trot of course"
    bytelog = 1024 / 10000.5
    assert first.component_scores == {
        "acoustic": pytest.approx((-4 - 4 * 2) * bytelog),
        "lm": pytest.approx(-4 * 3 * bytelog),
    }
    assert first.first_pass_score == pytest.approx(-9 * bytelog)


def test_log10_scores_are_combined_as_srilm_does(tmp_path):
    """log10 scores become natural log, the total is divided by the LM weight, and lists are sorted by it."""
    path = tmp_path / "u1.score.gz"
    path.write_bytes(gzip.compress(b"-100 -12.5 2 so so\n-90 -11 1 so\n"))
    (record,), notices = read(path, srilm_lm_weight=10.0, srilm_word_weight=0.5)
    assert record.nbest.id == "u1"
    assert [(h.transcript, h.first_pass_score) for h in record.nbest.hypotheses] == [
        ("so", pytest.approx((-90 + 10 * -11 + 0.5) / 10 * math.log(10))),
        ("so so", pytest.approx((-100 + 10 * -12.5 + 0.5 * 2) / 10 * math.log(10))),
    ]
    assert record.nbest.hypotheses[0].component_scores == {
        "acoustic": pytest.approx(-90 * math.log(10)),
        "lm": pytest.approx(-11 * math.log(10)),
    }
    assert notices == [
        "2 scores computed from log10 scores, in natural log: (acoustic + 10 * lm + 0.5 * words) / 10",
        "1 lists sorted by their scores",
    ]


def test_a_folder_gives_one_list_for_each_file():
    """A folder gives one list for each file, in the order of the file names."""
    found = hypotheses(read(FOLDER / "srilm/log10")[0])
    assert list(found) == ["3536-8226-0007", "5338-284437-0002", "5338-284437-0003"]
    assert found["5338-284437-0002"][0][0] == "what that little cabin"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("NBestList1.0\n", 1, "holds no hypotheses"),
        ("NBestList1.0\n(-1) a\nNBestList1.0\n(-2) b\n", 3, "a second list begins"),
        ("NBestList1.0\n-1 a\n", 2, "'-1' is not a score in brackets"),
        ("NBestList1.0\n(x) a\n", 2, "'x' is not a finite number"),
        ("NBestList1.0\n(-1) a\n(-2) b", 3, "the file is truncated"),
        ("NBestList2.0\n(-1) a ( st: 0 et: 1 g: -1\n", 2, "a word lacks its"),
        ("NBestList2.0\n(-1) a ( st: 0 et: 1 x: -1 a: -1 )\n", 2, "'a' is not followed by"),
        ("NBestList2.0\n(-1) a ( st: 0 et: y g: -1 a: -1 )\n", 2, "'y' is not a finite number"),
        ("-1 -2 1 a\n-1 -2\n", 2, 'not "ascore lscore nwords word ..."'),
        ("-1 -2 1 a\n-1 -2 b c\n", 2, 'not "ascore lscore nwords word ..."'),
        ("-1 z 1 a\n", 1, "'z' is not a finite number"),
    ],
)
def test_errors_name_the_line(tmp_path, text, line, words):
    """Errors in all three formats name their line."""
    path = tmp_path / "u1"
    path.write_text(text)
    error = refusal(lambda: read(path))
    assert (error.path, error.line) == (str(path), line)
    assert words in error.message


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("NBestList1.0", True),
        ("NBestList2.0 ", True),
        ("(-123) yes", True),
        ("-1.5e2 -20 2 so so", True),
        ("-1 -2 0", True),
        ("u1-1 yes", False),
        ("yes\t-1.5", False),
        ("(a) yes", False),
    ],
)
def test_first_lines_are_distinguished_from_other_formats(text, answer):
    """Only a header, a score in brackets or three numbers are a first line of SRILM."""
    assert is_srilm_line(text) is answer

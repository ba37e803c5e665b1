"""lorb.formats.toolkits.kaldi: archives of words and costs."""

import shutil
from functools import partial
from pathlib import Path

import pytest

from lorb.errors import InvalidInput
from lorb.formats.toolkits.kaldi import is_kaldi, read_kaldi
from support.lists.formats_as_written import FOLDER, hypotheses, read_with, refusal

ARCHIVE = FOLDER / "kaldi" / "archives.1"


@pytest.fixture
def archive(tmp_path):
    """A copy of a sample archive that a test may change."""
    return Path(shutil.copytree(ARCHIVE, tmp_path / "archives.1"))


read = partial(read_with, read_kaldi, acoustic_scale=0.1)


def test_costs_become_scores():
    """The score is -(scale * acoustic + graph), and both parts are component scores."""
    records, notices = read(FOLDER / "kaldi")
    found = hypotheses(records)
    assert list(found) == ["5338-284437-0002", "5338-284437-0003", "3536-8226-0007"]
    assert found["5338-284437-0002"][1] == ("what's that little cabin", pytest.approx(-4.8279, abs=1e-4))
    second = records[0].nbest.hypotheses[1]
    assert second.component_scores == {"acoustic": 164.221, "graph": -21.25}
    assert second.first_pass_score == pytest.approx(0.1 * 164.221 - 21.25)
    assert notices == ["8 scores computed from costs: -(0.1 * acoustic + graph)"]


def test_the_scale_weighs_the_acoustic_costs():
    """With scale 1 the acoustic costs count in full."""
    records, _ = read(ARCHIVE, acoustic_scale=1.0)
    assert records[0].nbest.hypotheses[1].first_pass_score == pytest.approx(164.221 - 21.25)


def test_costs_without_a_scale_are_refused():
    """Costs without an acoustic scale are refused, since no default fits all models."""
    with pytest.raises(InvalidInput, match="give --acoustic-scale"):
        read(ARCHIVE, acoustic_scale=None)


def test_words_alone_are_lists_without_scores(tmp_path):
    """Without files of costs the lists have no scores, and a notice says so."""
    path = tmp_path / "transcript.txt"
    path.write_text("utt-a-1 yes \nutt-a-2 \nutt-b-1 no \n")
    records, notices = read(path, acoustic_scale=None)
    assert hypotheses(records) == {"utt-a": [("yes", None), ("", None)], "utt-b": [("no", None)]}
    assert notices == ["1 files of words without costs: neither acwt nor lmwt.withlm is beside them"]


def test_files_may_have_other_names(archive):
    """Words and costs are read from files with other names."""
    for old, new in (("words_text", "text.1"), ("acwt", "ac.1"), ("lmwt.withlm", "lm.1")):
        (archive / old).rename(archive / new)
    records, _ = read(archive / "text.1", acoustic_costs="ac.1", graph_costs="lm.1")
    assert [r.fields for r in records] == [r.fields for r in read(ARCHIVE)[0]]


def test_sorted_keys_are_ranked_by_number(tmp_path):
    """Hypotheses are ordered by number, and the utterance id ends before the last hyphen."""
    path = tmp_path / "words_text"
    path.write_text("".join(f"a-b-{n} text {n} \n" for n in (1, 10, 2, 3)))
    (record,) = read(path)[0]
    assert record.nbest.id == "a-b"
    assert [h.transcript for h in record.nbest.hypotheses] == ["text 1", "text 2", "text 3", "text 10"]


def test_symbols_in_place_of_words_are_noticed(tmp_path):
    """Lists with only numbers, such as symbol ids, are counted in a notice."""
    (tmp_path / "words").write_bytes((ARCHIVE / "words").read_bytes())
    _, notices = read(tmp_path / "words")
    assert (
        notices[-1]
        == "2 lists with only numbers: if these are symbol ids, convert them with int2sym.pl -f 2- words.txt"
    )


@pytest.mark.parametrize("costs", ["acwt", "lmwt.withlm"])
def test_a_missing_cost_is_named_with_its_file(archive, costs):
    """A missing cost is an error that names the id and both files."""
    lines = (archive / costs).read_text().splitlines(keepends=True)
    (archive / costs).write_text("".join(lines[:3] + lines[4:]))
    error = refusal(lambda: read(archive))
    assert (error.path, error.line) == (str(archive / costs), 4)
    assert f"id '5338-284437-0003-1' of {archive / 'words_text'}:4 is missing here" in error.message


def test_a_cost_without_words_is_an_error(archive):
    """A cost without words, of a truncated file of words, is an error."""
    words = (archive / "words_text").read_text().splitlines(keepends=True)
    (archive / "words_text").write_text("".join(words[:5]))
    error = refusal(lambda: read(archive))
    assert error.line == 6
    assert "id '5338-284437-0003-3' is not in" in error.message


def test_one_file_of_costs_alone_is_an_error(archive):
    """Acoustic costs without graph costs are an error."""
    (archive / "lmwt.withlm").unlink()
    assert "lmwt.withlm: cannot be read: No such file" in refusal(lambda: read(archive)).message


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("u-1 a \nu-2 b \nu-1 c \n", 3, "id 'u-1' is repeated"),
        ("u-1 a \nu b \n", 2, "id 'u' does not end in -1, -2"),
        ("1089-134686-0000 a \n", 1, "does not end in -1, -2"),
        ("u-1 a \n  b \n", 2, "begins with white space"),
        ("u-1 a \nu-2 b", 2, "the last line has no newline: the file is truncated"),
    ],
)
def test_errors_name_the_line(tmp_path, text, line, words):
    """Truncated lines, repeated ids and other tables are refused with their line."""
    path = tmp_path / "words_text"
    path.write_text(text)
    error = refusal(lambda: read(path))
    assert (error.path, error.line) == (str(path), line)
    assert words in error.message


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        ("archives.1", "archives.1 is missing, but archives.2 exists"),
        ("archives.2/words_text", "words_text: cannot be read: No such file"),
    ],
)
def test_what_a_job_did_not_write_is_an_error(tmp_path, lost, words):
    """A missing job or file is an error, since its utterances would be lost silently."""
    folder = Path(shutil.copytree(FOLDER / "kaldi", tmp_path / "rescored"))
    shutil.rmtree(folder / lost) if (folder / lost).is_dir() else (folder / lost).unlink()
    assert words in refusal(lambda: read(folder)).message


def test_another_folder_is_refused(tmp_path):
    """The message for another folder says which file is missing."""
    assert not is_kaldi(tmp_path)
    assert "no words_text in it or in archives.1" in refusal(lambda: read(tmp_path)).message

"""lorb.formats.detection: detection of formats by first lines and folder content."""

import json

import pytest

from lorb.errors import MalformedFile
from lorb.formats.detection import detected_format
from support.lists.formats_as_written import FOLDER, SAMPLES

NATIVE = '{"id": "u1", "ref": "a", "hyps": [{"text": "a"}]}\n'
MLM_SCORING = {"u1": {"hyp_1": {"score": -1.0, "text": " a"}, "ref": "a"}}
HYPORADISE = [{"input": ["a"], "output": "a"}]


def written(path, text):
    """Writes a file with this text."""
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (NATIVE, "native"),
        ("\n\n" + NATIVE, "native"),
        ('{"id": "u1", "hyps": [{"text": "say \\"hyp_1\\": now"}], "results": 1, "alternatives": 2}', "native"),
        (json.dumps(MLM_SCORING), "mlm-scoring"),
        (json.dumps(MLM_SCORING, indent=2), "mlm-scoring"),
        (json.dumps(HYPORADISE), "hyporadise"),
        (json.dumps(HYPORADISE, indent=4), "hyporadise"),
        ('[{"input": ["a"]}]', "hyporadise"),
        ('{"results": [{"alternatives": [{"transcript": "yes"}]}]}', "google"),
        ('{"alternatives" : [{"confidence" : 1.5, "text" : "a"}]}', "vosk"),
        ("u-1 a \nu-2 b \n", "kaldi"),
        ("a\t-1.5\n\t-2e3\nb\ttensor(-1.5, device='cuda:0')\n", "nemo"),
        ("(-12) a\n", "srilm"),
    ],
)
def test_each_format_is_detected_by_its_first_lines(tmp_path, text, name):
    """Each format is detected, compact or indented, whatever the file is called."""
    assert detected_format(written(tmp_path / "lists", text), "") == name


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_samples_of_all_formats_are_detected(sample):
    """The sample files and folders of all tools are detected."""
    assert detected_format(sample.path, "") == sample.format


@pytest.mark.parametrize(
    "text", ["rubbish", "[]", '{"a": 1}', "1089-134686-0000 he hoped there would be stew\n", "u1 -1.5\n", '{"inp']
)
def test_an_unknown_format_is_refused_with_the_choices(tmp_path, text):
    """A file of no known format is refused, and the message lists the formats."""
    path = written(tmp_path / "lists", text)
    with pytest.raises(MalformedFile) as caught:
        detected_format(path, "native, kaldi")
    assert caught.value.message == f"{path}:1: its format is not recognised: give --format, one of native, kaldi"


def test_an_ambiguous_format_is_refused_with_both_names(tmp_path):
    """A file that matches two formats is refused, and the message names both."""
    path = written(tmp_path / "lists", "u-1\t-1.5\nu-2\t-2.5\n")
    with pytest.raises(MalformedFile, match="its format may be kaldi or nemo: give --format"):
        detected_format(path, "")


@pytest.mark.parametrize("content", [{}, {"a": b"\xff"}, {"a": b"text\n"}])
def test_another_folder_is_refused(tmp_path, content):
    """An empty folder and a folder with other files are refused."""
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(MalformedFile, match="its format is not recognised") as caught:
        detected_format(tmp_path, "")
    assert (caught.value.path, caught.value.line) == (str(tmp_path), 0)


def test_a_folder_with_a_lost_job_is_an_error(tmp_path):
    """A missing job folder is found during detection."""
    (tmp_path / "archives.2").mkdir()
    (tmp_path / "archives.2" / "words_text").write_text("u-1 a\n")
    with pytest.raises(MalformedFile, match=r"archives.1 is missing, but archives.2 exists"):
        detected_format(tmp_path, "")


def test_a_truncated_last_line_does_not_hide_the_format(tmp_path):
    """A truncated last line does not prevent detection."""
    text = (FOLDER / "kaldi/archives.1/words_text").read_text()
    assert detected_format(written(tmp_path / "words_text", text[: text.rindex("-")]), "") == "kaldi"

"""All readers on files as the real tools write them, whole and damaged."""

import json
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorb.errors import InvalidInput, MalformedFile
from lorb.formats import FORMATS
from support.lists.formats_as_written import FOLDER, SAMPLES, hypotheses


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of all sample files; a test damages one of them and restores it."""
    return Path(shutil.copytree(FOLDER, tmp_path_factory.mktemp("formats") / "copy"))


def outcome(reading):
    """Returns the records of a reading and no error, or None and the MalformedFile that it raises."""
    try:
        return reading()[0], None
    except MalformedFile as error:
        return None, error


UTTERANCES = ("5338-284437-0002", "5338-284437-0003", "3536-8226-0007")
UNREAD_FILES = ("token", "words", "lmwt.nolm")  # files of the tools that no reader reads


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_auto_detects_every_format(sample):
    """With "auto" each sample gives the same records as with its format named, and a notice names the format."""
    named, _ = sample.read(format=sample.format)
    detected, notices = sample.read()
    assert [record.fields for record in detected] == [record.fields for record in named]
    assert sample.format == "native" or notices[0] == f"1 files or folders read as {sample.format}"


@pytest.mark.parametrize(
    "place", ["native", "mlm", "hyporadise", "espnet1", "espnet2", "kaldi", "nemo", "srilm/log10", "huggingface"]
)
def test_the_same_lists_come_out_of_every_format(place, sample_dev):
    """The samples of all formats give the texts and scores of the lists that they were made from."""
    sample = next(each for each in SAMPLES if each.place.startswith(place) and "whisper" not in each.place)
    original = {nbest.id: nbest for nbest in sample_dev}
    read = hypotheses(sample.read()[0])
    assert set(read) == set(UTTERANCES)
    for utterance, found in read.items():
        found = [each for i, each in enumerate(found) if each[0] and each not in found[:i]]  # without padding
        expected = original[utterance].hypotheses[: len(found)]
        assert len(found) == (2 if utterance == "3536-8226-0007" else 3)
        assert [text for text, _ in found] == [each.transcript for each in expected]
        scores = [score - found[0][1] for _, score in found]
        assert scores == pytest.approx(
            [each.first_pass_score - expected[0].first_pass_score for each in expected], abs=2e-3
        )


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_a_wrong_format_gives_lists_or_a_one_line_error(sample):
    """Reading a sample as any other format gives lists or an error of one line."""
    messages = []
    for name in FORMATS:
        if name in ("auto", sample.format):
            continue
        try:
            sample.read(format=name)
        except InvalidInput as error:
            messages.append(error.message)
    assert all(re.fullmatch(r"[^\n]+", message) for message in messages)


def parts(sample):
    """Returns the files that the reader of a sample reads."""
    files = [sample.path] if sample.path.is_file() else sorted(sample.path.rglob("*"))
    if sample.place.startswith(("nemo", "kaldi/archives.1")):
        files = sorted(sample.path.parent.iterdir())
    top_of_espnet2 = sample.place == "espnet2" and {sample.path / "text", sample.path / "score"}
    return [
        file
        for file in files
        if file.is_file() and file.name not in UNREAD_FILES and not (top_of_espnet2 and file in top_of_espnet2)
    ]


CUTS = [(sample, part) for sample in SAMPLES for part in parts(sample)]
UNPACKED_CUTS = [(sample, part) for sample, part in CUTS if part.suffix != ".gz"]


def name_of(value):
    """Returns the id of a test case."""
    return str(value.relative_to(FOLDER)).replace("/", "-") if isinstance(value, Path) else ""


@pytest.mark.parametrize(("sample", "part"), CUTS, ids=name_of)
@given(data=st.data())
def test_a_file_truncated_anywhere_is_an_error_with_its_line_or_whole_lists(copy, sample, part, data):
    """A file truncated at any byte gives an error with its line, or only lists that equal those of the whole file."""
    content = part.read_bytes()
    cut = data.draw(st.integers(0, len(content) - 1))
    whole = {record.nbest.id: record.nbest for record in sample.read(format=sample.format)[0]}
    damaged = copy / part.relative_to(FOLDER)
    damaged.write_bytes(content[:cut])
    records, error = outcome(lambda: sample.read(copy / sample.place, format=sample.format))
    damaged.write_bytes(content)
    if error is not None:
        assert error.path.startswith(str(copy))
        assert error.line >= 1
        assert "\n" not in error.message
        return
    for record in records:
        # a result alone in its file is named NAME, the first of several NAME-1
        complete = whole[record.nbest.id] if record.nbest.id in whole else whole[f"{record.nbest.id}-1"]
        if sample.format == "srilm":  # its files do not say how many hypotheses they have
            assert set(record.nbest.hypotheses) <= set(complete.hypotheses)
        else:
            assert record.nbest.hypotheses == complete.hypotheses


@pytest.mark.parametrize(("sample", "part"), CUTS, ids=name_of)
@settings(max_examples=30)
@given(data=st.data())
def test_a_truncated_file_of_unknown_format_gives_lists_or_an_error(copy, sample, part, data):
    """With "auto" too, a truncated file gives lists or an error that names a file of the sample."""
    content = part.read_bytes()
    damaged = copy / part.relative_to(FOLDER)
    damaged.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    _, error = outcome(lambda: sample.read(copy / sample.place))
    damaged.write_bytes(content)
    assert error is None or error.path.startswith(str(copy))


@pytest.mark.parametrize(("sample", "part"), UNPACKED_CUTS, ids=name_of)
def test_a_truncated_last_line_is_named(sample, part, tmp_path):
    """If the last bytes of a file are missing, the error names the file and its last line."""
    copy = tmp_path / "copy"
    shutil.copytree(FOLDER, copy)
    damaged = copy / part.relative_to(FOLDER)
    content = part.read_bytes()
    kept = content.rstrip()[:-3]
    damaged.write_bytes(kept)
    with pytest.raises(MalformedFile) as caught:
        sample.read(copy / sample.place, format=sample.format)
    assert caught.value.path == str(damaged)
    assert caught.value.line == kept.rstrip().count(b"\n") + 1


@pytest.mark.parametrize(
    "sample", [each for each in SAMPLES if each.path.is_file() and each.path.suffix != ".gz"], ids=str
)
def test_other_bytes_than_utf8_are_named_with_their_line(sample, tmp_path):
    """A Latin-1 byte in a file of any format is refused with its line."""
    copy = tmp_path / "copy"
    shutil.copytree(sample.path.parent, copy)
    bad = copy / sample.path.name
    lines = bad.read_bytes().splitlines(keepends=True)
    lines[-1] = b"\xe9" + lines[-1]
    bad.write_bytes(b"".join(lines))
    with pytest.raises(MalformedFile, match="not UTF-8") as caught:
        sample.read(bad, format=sample.format)
    assert caught.value.line == len(lines)


JSON_FILES = [sample for sample in SAMPLES if sample.path.suffix == ".json"]
VALUES = st.sampled_from(
    [None, True, 0, -1.5, 1e308, 10**400, "", "x", "\ud800", [], {}, [[]], [{}], {"x": 1}, [1, "a"]]
)


def places(value, route=()):
    """Yields the key path of every value inside a JSON value, and of the value itself."""
    yield route
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in inside:
        yield from places(inner, (*route, key))


def replaced(value, route, other):
    """Returns a JSON value with another value at a key path."""
    if not route:
        return other
    changed = value.copy()
    changed[route[0]] = replaced(value[route[0]], route[1:], other)
    return changed


@pytest.mark.parametrize("sample", JSON_FILES, ids=str)
@given(data=st.data())
def test_json_with_any_other_value_in_it_is_read_or_refused(copy, sample, data):
    """A value of any type at any place in a JSON file gives lists or an error of one line."""
    original = sample.path.read_text()
    documents = original.split("\n}\n{") if sample.format == "vosk" else [original]
    value = json.loads(documents[0] + ("\n}" if len(documents) > 1 else ""))
    route = data.draw(st.sampled_from(list(places(value))))
    damaged = copy / sample.place
    damaged.write_text(json.dumps(replaced(value, route, data.draw(VALUES))))
    _, error = outcome(lambda: sample.read(damaged, format=sample.format))
    damaged.write_text(original)
    assert error is None or (error.line >= 1 and "\n" not in error.message)


@pytest.mark.parametrize(("sample", "part"), CUTS, ids=name_of)
@settings(max_examples=30)
@given(data=st.data())
def test_bytes_changed_anywhere_are_read_or_refused(copy, sample, part, data):
    """Changed bytes at any place in a file give lists or an error of one line."""
    content = part.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    other = data.draw(st.binary(max_size=3) | st.sampled_from([b"\n", b"\t", b" ", b'"', b"[", b"\\u2028", b"\x00"]))
    damaged = copy / part.relative_to(FOLDER)
    damaged.write_bytes(content[:at] + other + content[at + 1 :])
    _, error = outcome(lambda: sample.read(copy / sample.place, format=sample.format))
    damaged.write_bytes(content)
    assert error is None or "\n" not in error.message

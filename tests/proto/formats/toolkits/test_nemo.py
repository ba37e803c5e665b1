"""lorb.formats.toolkits.nemo: beams and their manifest."""

from functools import partial

import pytest

from lorb.errors import InvalidInput
from lorb.formats.toolkits.nemo import read_nemo
from support.lists.formats_as_written import FOLDER, hypotheses, read_with, refusal

BEAMS = FOLDER / "nemo" / "preds_out_width3_alpha0.5_beta0.5.tsv"
MANIFEST = BEAMS.with_suffix(".json")
ENTRY = '{"audio_filepath": "/data/b.d/a.1.wav", "duration": 1.5, "text": "yes"}\n'


read = partial(read_with, read_nemo)


def written(tmp_path, beams, manifest=ENTRY, name="beams_width2.tsv"):
    """Writes a file of beams, and its manifest beside it."""
    path = tmp_path / name
    path.write_text(beams)
    path.with_suffix(".json").write_text(manifest)
    return path


def test_beams_get_names_and_references_of_the_manifest():
    """Each manifest entry gives the id, reference and fields of its beams; beams may be empty."""
    records, notices = read(BEAMS)
    found = hypotheses(records)
    assert found["3536-8226-0007"][1:] == [
        ("of course it ain't said missus bosel", pytest.approx(-3.4193001)),
        ("", pytest.approx(-40.5000001)),
    ]
    assert [record.nbest.reference for record in records] == [
        "what that little cabin",
        "exclaimed trot of course",
        "of course it ain't said missus bozzle",
    ]
    assert records[1].line == 4
    assert records[0].fields["duration"] == 2.395
    assert notices == ["3 lists named after their recording, without folder and suffix"]


def test_manifest_and_beam_size_may_be_given(tmp_path):
    """Beams of any file name are read with a given manifest and beam size."""
    path = tmp_path / "dev.tsv"
    path.write_bytes(BEAMS.read_bytes())
    records, _ = read(path, nemo_manifest=MANIFEST, nemo_beam_size=3)
    assert [r.fields for r in records] == [r.fields for r in read(BEAMS)[0]]


def test_beams_without_a_manifest_or_a_size_are_refused(tmp_path):
    """Beams without manifest or beam size are refused, and the message names the flag."""
    alone = tmp_path / "dev_width3.tsv"
    alone.write_bytes(BEAMS.read_bytes())
    assert "give --nemo-manifest, or put it beside them as dev_width3.json" in refusal(lambda: read(alone)).message
    with pytest.raises(InvalidInput, match="give --nemo-beam-size, or keep NeMo's file name"):
        read(written(tmp_path, "yes\t-1\n", name="dev.tsv"))


def test_segments_of_one_recording_differ_by_their_offset(tmp_path):
    """Segments of one recording are named by their offset, and an entry's own id takes precedence."""
    manifest = (
        '{"audio_filepath": "a.wav", "offset": 0.0, "duration": 1}\n'
        '{"audio_filepath": "a.wav", "offset": 12.5, "duration": 1}\n'
        '{"id": "own", "audio_filepath": "a.wav", "offset": 13, "duration": 1}\n'
    )
    beams = "".join(f"text {n}\t-{n}\n" for n in range(6))
    assert list(hypotheses(read(written(tmp_path, beams, manifest))[0])) == ["a-0.0", "a-12.5", "own"]


@pytest.mark.parametrize(
    ("beams", "line", "words"),
    [
        ("yes\t-1\n", 1, "the file ends after 1 of 2 beams for the entry at"),
        ("yes\t-1\nno\t-2\nmaybe\t-3\n", 3, "has no entry for this beam"),
        ("yes\t-1\nno -2\n", 2, "no tab"),
        ("yes\t-1\nno\tx\n", 2, "'x' is not a finite number"),
        ("yes\t-1\nno\t-inf\n", 2, "'-inf' is not a finite number"),
        ("yes\t-1\nno\t-2.5", 2, "the file is truncated"),
    ],
)
def test_beams_that_do_not_fit_are_refused_with_their_line(tmp_path, beams, line, words):
    """Missing, extra, malformed and truncated beams are refused with their line."""
    path = written(tmp_path, beams)
    error = refusal(lambda: read(path))
    assert (error.path, error.line) == (str(path), line)
    assert words in error.message


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ('{"duration": 1}\n', 'the entry has no "audio_filepath"'),
        ("[1]\n", "the entry is not an object"),
        ('{"audio_filepath": "a.wav", "dur', "not JSON"),
        ('{"audio_filepath": "a.wav", "text": 5}\n', '"ref" is not text'),
    ],
)
def test_a_broken_manifest_is_named_with_its_line(tmp_path, manifest, words):
    """An error in the manifest names its line."""
    error = refusal(lambda: read(written(tmp_path, "yes\t-1\nno\t-2\n", manifest)))
    assert error.line == 1
    assert words in error.message

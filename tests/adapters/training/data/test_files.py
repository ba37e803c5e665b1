"""The list files of a run: digests and names."""

import shutil
from pathlib import Path

from lorb.formats import FormatOptions, write_native
from lorb.nbest import Hypothesis, NBest
from lorb_adapters.training.data.files import DataFiles

FORMATS = Path(__file__).parents[3] / "data" / "formats"
OPTIONS = FormatOptions(reference_texts=(FORMATS / "references" / "text",), acoustic_scale=0.1)


def write(path, list_id):
    """Writes a file with one list; returns its path."""
    write_native(path, [NBest((Hypothesis("cat", -1.0), Hypothesis("hat", -2.0)), id=list_id, reference="cat")])
    return path


def test_the_digest_of_a_folder_is_that_of_its_lists(tmp_path):
    """The digest of a folder depends on its lists, not on other files in it."""
    folder = Path(shutil.copytree(FORMATS / "espnet2", tmp_path / "decode"))
    files = DataFiles((folder,), (), format_options=OPTIONS)
    before = files.sha256()
    (folder / "logdir" / "asr_inference.1.log").write_text("done")
    assert files.sha256() == before
    text = folder / "logdir" / "output.1" / "1best_recog" / "text"
    text.write_text(text.read_text().replace("cabin", "cabinet"))
    assert set(files.sha256()) == {"decode"}
    assert files.sha256() != before


def test_files_with_equal_names_keep_their_digests(tmp_path):
    """Files with equal names in two folders are named with their folders, and each has its digest."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = (write(tmp_path / folder / "lists.jsonl", folder) for folder in "ab")
    digests = DataFiles((first, second), (write(tmp_path / "dev.jsonl", "d"),)).sha256()
    assert set(digests) == {"a/lists.jsonl", "b/lists.jsonl", "dev.jsonl"}
    assert len(set(digests.values())) == 3

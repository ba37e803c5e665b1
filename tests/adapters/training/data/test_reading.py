"""A run's data: parts that overlap, statistics of first-pass scores, references that train has not."""

import shutil
from pathlib import Path

import pytest

from lorb.errors import InvalidInput
from lorb.formats import FormatOptions, write_native
from lorb.nbest import Hypothesis, NBest
from lorb_adapters.base.loader import load_base
from lorb_adapters.text import TextNormalization
from lorb_adapters.training.config import TrainConfig
from lorb_adapters.training.data.dataset import read_dataset, unseen_references
from lorb_adapters.training.data.encoded_lists import encode_lists
from lorb_adapters.training.data.files import DataFiles
from lorb_adapters.training.data.first_pass import first_pass_statistics


@pytest.fixture(scope="module")
def encoder(tiny_bert):
    return load_base(str(tiny_bert)).text_encoder


def nbest(name, reference, *scores):
    return NBest(tuple(Hypothesis(f"{reference} {i}", s) for i, s in enumerate(scores)), id=name, reference=reference)


def written(folder, name, *lists):
    write_native(folder / name, lists)
    return (folder / name,)


def test_train_gives_up_what_dev_and_test_hold(tmp_path, encoder):
    """A list of dev or test never trains, and the dropped ones are counted."""
    files = DataFiles(
        train=written(tmp_path, "train", *(nbest(name, "a", -1.0, -2.0) for name in "1234")),
        dev=written(tmp_path, "dev", nbest("2", "a", -1.0, -2.0)),
        test=written(tmp_path, "test", nbest("3", "a", -1.0, -2.0)),
    )
    data = read_dataset(files, encoder, TrainConfig())
    assert [each.nbest.id for each in data.train] == ["1", "4"]
    assert data.num_overlapping == 2


FORMATS = Path(__file__).parents[3] / "data" / "formats"
OPTIONS = FormatOptions(reference_texts=(FORMATS / "references" / "text",), acoustic_scale=0.1)


def test_other_formats_are_read_with_their_options(encoder):
    """Kaldi's archives train, with references from a file of their own; what was normalised is kept to be said."""
    dev = FORMATS / "srilm" / "bytelog" / "5338-284437-0002"
    data = read_dataset(DataFiles((FORMATS / "kaldi",), (dev,), format_options=OPTIONS), encoder, TrainConfig())
    assert [each.nbest.reference for each in data.train] == [
        "exclaimed trot of course",
        "of course it ain't said missus bozzle",
    ]
    assert "8 scores made of costs: -(0.1 * acoustic + graph)" in data.notices


def test_the_digest_of_a_folder_is_that_of_its_lists(tmp_path):
    """A log beside them does not count, a word does."""
    folder = Path(shutil.copytree(FORMATS / "espnet2", tmp_path / "decode"))
    files = DataFiles((folder,), (), format_options=OPTIONS)
    before = files.sha256()
    (folder / "logdir" / "asr_inference.1.log").write_text("done")
    assert files.sha256() == before
    text = folder / "logdir" / "output.1" / "1best_recog" / "text"
    text.write_text(text.read_text().replace("cabin", "cabinet"))
    assert set(files.sha256()) == {"decode"}
    assert files.sha256() != before


def test_files_of_one_name_in_two_folders_keep_their_digests(tmp_path):
    """Neither file's digest takes the other's place."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = (written(tmp_path / folder, "lists.jsonl", nbest(folder, "cat", -1.0, -2.0)) for folder in "ab")
    digests = DataFiles((*one, *other), written(tmp_path, "dev.jsonl", nbest("d", "cat", -1.0))).sha256()
    assert set(digests) == {"a/lists.jsonl", "b/lists.jsonl", "dev.jsonl"}
    assert len(set(digests.values())) == 3


def test_the_audit_is_said_before_it_stops_anything(tmp_path, encoder):
    """What the lists are like is told even where they cannot be trained on."""
    same = nbest("7", "a", -1.0, -2.0)
    files = DataFiles(
        train=written(tmp_path, "train", nbest("1", "b", -1.0, -2.0)),
        dev=written(tmp_path, "dev", same),
        test=written(tmp_path, "test", same),
    )
    said = []
    with pytest.raises(InvalidInput):
        read_dataset(files, encoder, TrainConfig(), said.append)
    assert "ids in both" in said[-1]


def test_dev_and_test_may_not_share_a_list(tmp_path, encoder):
    """A test list that was tuned on is an error that names the id."""
    same = nbest("7", "a", -1.0, -2.0)
    files = DataFiles(
        train=written(tmp_path, "train", nbest("1", "a", -1.0, -2.0)),
        dev=written(tmp_path, "dev", same),
        test=written(tmp_path, "test", same),
    )
    with pytest.raises(InvalidInput, match="dev and test: ids in both: 1 of 1, '7'"):
        read_dataset(files, encoder, TrainConfig())


def test_statistics_describe_the_first_pass_scores(encoder):
    """Mean and spread of all scores, and how far the others stand behind the best."""
    lists = encode_lists(
        [nbest("1", "a", -1.0, -3.0), nbest("2", "b", -2.0, -4.0, -6.0)],
        encoder,
        TextNormalization(),
        uses_context=False,
    )
    statistics = first_pass_statistics(lists)
    assert statistics["mean"] == pytest.approx(-16 / 5)
    assert statistics["mean_behind_best"] == pytest.approx((2 + 2 + 4) / 3)
    assert statistics["mean_hypotheses"] == 2.5
    assert statistics["scored_fraction"] == 1.0


def test_a_decoders_mark_is_no_score(encoder):
    """Minus five billion says that a hypothesis was pruned; means and spread are of the others."""
    marked = nbest("1", "a", -1.0, -3.0, -5e9)
    statistics = first_pass_statistics(encode_lists([marked], encoder, TextNormalization(), uses_context=False))
    assert statistics["mean"] == -2.0
    assert statistics["std"] == 1.0
    assert statistics["mean_behind_best"] == 2.0


def test_lists_without_scores_have_no_score_statistics(encoder):
    """Where the recogniser gives none, nothing is made up."""
    lists = encode_lists([nbest("1", "a", None, None)], encoder, TextNormalization(), uses_context=False)
    assert first_pass_statistics(lists) == {"scored_fraction": 0.0, "mean_hypotheses": 2.0}


def test_unseen_references_are_those_train_has_not(encoder):
    """White space aside, a test reference counts as seen when any train list has it."""
    train = encode_lists([nbest("1", "a b", -1.0, -2.0)], encoder, TextNormalization(), uses_context=False)
    test = encode_lists(
        [nbest("2", "a  b", -1.0, -2.0), nbest("3", "a c", -1.0, -2.0)],
        encoder,
        TextNormalization(),
        uses_context=False,
    )
    assert unseen_references(test, train) == [1]

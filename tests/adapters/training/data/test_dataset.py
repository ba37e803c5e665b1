"""The dataset of a run: overlapping sets, other formats, the audit, and unseen references."""

from dataclasses import replace
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


@pytest.fixture(scope="module")
def encoder(tiny_bert):
    return load_base(str(tiny_bert)).text_encoder


def make_list(name, reference, *scores):
    return NBest(tuple(Hypothesis(f"{reference} {i}", s) for i, s in enumerate(scores)), id=name, reference=reference)


def write(folder, name, *lists):
    write_native(folder / name, lists)
    return (folder / name,)


def test_lists_of_dev_and_test_are_removed_from_train(tmp_path, encoder):
    """Train lists whose id is in dev or test are removed and counted."""
    files = DataFiles(
        train=write(tmp_path, "train", *(make_list(name, "a", -1.0, -2.0) for name in "1234")),
        dev=write(tmp_path, "dev", make_list("2", "a", -1.0, -2.0)),
        test=write(tmp_path, "test", make_list("3", "a", -1.0, -2.0)),
    )
    data = read_dataset(files, encoder, TrainConfig())
    assert [each.nbest.id for each in data.train] == ["1", "4"]
    assert data.num_held_out == 2


FORMATS = Path(__file__).parents[3] / "data" / "formats"
OPTIONS = FormatOptions(reference_texts=(FORMATS / "references" / "text",), acoustic_scale=0.1)


def test_other_formats_are_read_with_their_options(encoder):
    """Kaldi's archives are read with references from another file, and the readers' notices are kept."""
    dev = FORMATS / "srilm" / "bytelog" / "5338-284437-0002"
    data = read_dataset(DataFiles((FORMATS / "kaldi",), (dev,), format_options=OPTIONS), encoder, TrainConfig())
    assert [each.nbest.reference for each in data.train] == [
        "exclaimed trot of course",
        "of course it ain't said missus bozzle",
    ]
    assert "8 scores computed from costs: -(0.1 * acoustic + graph)" in data.notices


def test_the_audit_is_logged_before_its_error(tmp_path, encoder):
    """The audit's tables are logged even if an error of the audit is raised."""
    same = make_list("7", "a", -1.0, -2.0)
    files = DataFiles(
        train=write(tmp_path, "train", make_list("1", "b", -1.0, -2.0)),
        dev=write(tmp_path, "dev", same),
        test=write(tmp_path, "test", same),
    )
    lines = []
    with pytest.raises(InvalidInput):
        read_dataset(files, encoder, TrainConfig(), lines.append)
    assert "ids in both" in lines[-1]


def test_costs_in_one_of_several_files_are_an_error(tmp_path, encoder, sample_dev):
    """One train file of costs beside a train file of good scores is an error that names the file."""
    good, costs, dev = sample_dev[:40], sample_dev[40:80], sample_dev[80:120]
    negated = [
        replace(n, hypotheses=tuple(replace(h, first_pass_score=-h.first_pass_score) for h in n.hypotheses))
        for n in costs
    ]
    train = write(tmp_path, "good", *good) + write(tmp_path, "costs", *negated)
    with pytest.raises(InvalidInput, match=r"/costs: scores rise from best to worst: \d+ of 40, such as"):
        read_dataset(DataFiles(train, write(tmp_path, "dev", *dev)), encoder, TrainConfig())


def test_dev_and_test_must_not_share_a_list(tmp_path, encoder):
    """A list in both dev and test is an error that names its id."""
    same = make_list("7", "a", -1.0, -2.0)
    files = DataFiles(
        train=write(tmp_path, "train", make_list("1", "a", -1.0, -2.0)),
        dev=write(tmp_path, "dev", same),
        test=write(tmp_path, "test", same),
    )
    with pytest.raises(InvalidInput, match="dev and test: ids in both: 1 of 1, such as '7'"):
        read_dataset(files, encoder, TrainConfig())


def test_unseen_references_are_those_not_in_train(encoder):
    """A test reference is seen if a train list has it, ignoring white space."""
    train = encode_lists([make_list("1", "a b", -1.0, -2.0)], encoder, TextNormalization(), uses_context=False)
    test = encode_lists(
        [make_list("2", "a  b", -1.0, -2.0), make_list("3", "a c", -1.0, -2.0)],
        encoder,
        TextNormalization(),
        uses_context=False,
    )
    assert unseen_references(test, train) == [1]

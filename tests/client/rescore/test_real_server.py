"""lorb-rescore against a real server with a tiny model: the order of the lists and the kind of their scores."""

import json
import math
import random
from dataclasses import replace

import pytest

from lorb.formats import native_line, native_record, write_native
from lorb.nbest import NBest
from lorb_adapters.base.loader import load_base
from lorb_adapters.store.store import Store
from lorb_client.load.cli import main as load_main
from lorb_client.rescore.cli import main
from support.adapters.publications import publish
from support.servers.serving import running_server

COSTS = "they look like costs: send their negatives"


@pytest.fixture(scope="module")
def real_target(tiny_bert, tmp_path_factory):
    """Address of a real server of one tiny adapter, the default domain."""
    store = Store(str(tmp_path_factory.mktemp("store")))
    publish(store, load_base(str(tiny_bert)))
    with running_server(tiny_bert, store.url, default_domain="voice") as server:
        yield server.target


@pytest.fixture
def lists(sample_lists):
    """Thirty real lists of several hypotheses, in the order of their scores."""
    return [nbest for nbest in sample_lists if len(nbest.hypotheses) > 4][:30]


@pytest.fixture
def rescored(real_target, tmp_path, capsys):
    """Rescores lists; returns the exit status, the lines on standard output and those on standard error."""

    def run(lists, *flags):
        path = tmp_path / "lists.jsonl"
        path.write_bytes(b"".join(native_line(native_record(nbest)) for nbest in lists))
        status = main([str(path), "--target", real_target, *flags])
        captured = capsys.readouterr()
        return status, captured.out.splitlines(), captured.err.splitlines()

    return run


def shuffled(nbest: NBest) -> NBest:
    """The list with its hypotheses in another order, the best not first."""
    best, *others = nbest.hypotheses
    random.Random(nbest.id).shuffle(others)
    return replace(nbest, hypotheses=(*others[:2], best, *others[2:]))


def with_scores(nbest: NBest, change) -> NBest:
    """The list with `change` applied to each score."""
    return replace(
        nbest, hypotheses=tuple(replace(h, first_pass_score=change(h.first_pass_score)) for h in nbest.hypotheses)
    )


@pytest.mark.parametrize("flags", [[], ["--weight", "0"], ["--selection", "mbr"]])
def test_the_order_of_a_list_does_not_change_its_first_pass(rescored, lists, flags):
    """Lists in a mixed order have the same counts and word error rates as in the order of their scores."""
    assert rescored([shuffled(nbest) for nbest in lists], *flags)[:2] == rescored(lists, *flags)[:2]


def test_weight_0_changes_no_list(rescored, lists):
    """With weight 0 no list counts as changed, and a notice counts the lists whose best does not stand first."""
    status, out, err = rescored([*map(shuffled, lists[1:]), lists[0]], "--weight", "0")
    assert (status, out[0]) == (0, "lists              30   changed 0")
    [line] = err
    assert line.startswith("lorb-rescore: 29 of 30 lists do not stand in the order of their scores: ")
    first_pass, after = out[-1].split()[2], out[-1].split()[4]
    assert first_pass == after


def test_costs_are_refused(rescored, lists):
    """Lists whose scores rise from best to worst end with status 2 and one line that says to send the negatives."""
    status, out, err = rescored([with_scores(nbest, lambda score: -score) for nbest in lists])
    assert (status, out) == (2, [])
    [line] = err
    assert "scores rise from best to worst: 30 of 30, such as" in line
    assert COSTS in line
    assert "--allow-rising-scores" in line


@pytest.mark.parametrize("is_second", [False, True])
def test_costs_in_one_of_two_files_are_refused(real_target, lists, tmp_path, failing, is_second):
    """Thirty lists of costs beside a file of thirty good lists end with status 2, and the line names their file."""
    good, costs = tmp_path / "good.jsonl", tmp_path / "costs.jsonl"
    for path, sign in ((good, 1), (costs, -1)):
        named = [replace(with_scores(n, lambda score, sign=sign: sign * score), id=f"{n.id} {sign}") for n in lists]
        write_native(path, named)
    paths = (good, costs) if is_second else (costs, good)
    status, line = failing(*paths, "--target", real_target)
    assert status == 2
    assert line.startswith(f"{costs}: scores rise from best to worst: 30 of 30, such as")


def test_costs_are_rescored_on_demand(rescored, lists):
    """With --allow-rising-scores such lists are rescored, with the same line as a notice."""
    status, out, err = rescored([with_scores(nbest, lambda score: -score) for nbest in lists], "--allow-rising-scores")
    assert (status, len(err)) == (0, 1)
    assert COSTS in err[0]
    assert out[-1].startswith("WER first-pass ")


def test_probabilities_are_named(rescored, lists):
    """Scores from 0 to 1 are rescored with a notice that says to send logarithms."""
    status, _, err = rescored([with_scores(nbest, math.exp) for nbest in lists])
    assert status == 0
    [line] = err
    assert "scores from 0 to 1, like probabilities" in line
    assert "give their natural logarithm" in line


def test_a_load_names_costs(real_target, lists, tmp_path, capsys):
    """lorb-load prints the same notice and goes on, because latencies do not depend on scores."""
    path, out = tmp_path / "lists.jsonl", tmp_path / "load.json"
    costs = [with_scores(nbest, lambda score: -score) for nbest in lists]
    path.write_bytes(b"".join(native_line(native_record(nbest)) for nbest in costs))
    quick = ["--rate", "50", "--duration-seconds", "0.1", "--warm-up-seconds", "0", "--deadline-seconds", "60"]
    assert load_main([str(path), "--target", real_target, *quick, "--json", str(out)]) == 0
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"lorb-load: {path}: ")
    assert COSTS in line
    assert json.loads(out.read_text())["endings"].keys() == {"rescored"}

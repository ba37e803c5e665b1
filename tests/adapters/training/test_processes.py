"""Runs of several processes: the same adapter as one process, and failures that reach all of them."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load

from lorb_adapters.store.store import Store
from lorb_adapters.training.cli.train_adapter import main
from lorb_adapters.training.processes import Processes
from support.servers.serving import free_port

SCRIPT = Path(__file__).parents[2] / "support/training/forked_training.py"
BIN = Path(sys.executable).parent
TORCHRUN = ["torchrun", "--nnodes", "2", "--nproc-per-node", "1", "--node-rank", "{rank}"]
TORCHRUN += ["--master-addr", "127.0.0.1", "--master-port", "{port}", "--no-python"]
# accelerate uses torch.distributed.run only with --multi_gpu; its CPU launcher starts one process, or mpirun
ACCELERATE = ["accelerate", "launch", "--multi_gpu", "--num_machines", "2", "--num_processes", "2"]
ACCELERATE += ["--machine_rank", "{rank}", "--main_process_ip", "127.0.0.1", "--main_process_port", "{port}"]
ACCELERATE += ["--mixed_precision", "no", "--dynamo_backend", "no", "--no_python"]


@pytest.fixture(scope="module")
def files(sample, tmp_path_factory):
    """21 train and 9 dev lists, which do not divide evenly into steps or processes."""
    folder = tmp_path_factory.mktemp("lists")
    for name, count in (("train", 21), ("dev", 9)):
        with gzip.open(sample / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            (folder / f"{name}.jsonl").write_text("".join(next(lines) for _ in range(count)))
    return folder


def command(files, tiny_bert, place):
    (place / "store").mkdir(parents=True, exist_ok=True)
    return [
        "--domain", "books", "--train", str(files / "train.jsonl"), "--dev", str(files / "dev.jsonl"),
        "--base", str(tiny_bert), "--store", str(place / "store"), "--run-dir", str(place / "run"), "--quiet",
        "--threads", "1", "--force", "--lists-per-step", "5", "--epochs", "2", "--layers", "1",
        "--correlation-weight", "0.05", "--head", "cls", "--precision", "fp32",
        # AdamW scales small gradients up: rounding noise alone moves a weight by part of a step.
        "--learning-rate", "3e-4",
    ]  # fmt: skip


def run_processes(*arguments):
    """Runs one command per process; returns exit statuses, stdout and stderr."""
    port = free_port()
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, str(SCRIPT), "processes", json.dumps(arguments), str(port)],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
    )
    return json.loads(done.stdout.splitlines()[-1]), done.stdout, done.stderr


def run_two_machines(launcher, arguments):
    """Runs the trainer under one launcher per machine; returns exit statuses and outputs."""
    port = free_port()
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "GLOO_SOCKET_IFNAME": "lo",
    }
    machines = []
    for rank in range(2):
        launch = [part.format(rank=rank, port=port) for part in launcher]
        launch[0] = str(BIN / launch[0])
        machines.append(
            subprocess.Popen(  # noqa: S603 - our own trainer
                [*launch, str(BIN / "lorb-train-adapter"), *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=environment,
            )
        )
    outputs = [machine.communicate(timeout=500)[0] for machine in machines]
    return [machine.returncode for machine in machines], outputs


def adapter_and_report(place):
    store = Store(str(place / "store"))
    [version] = store.versions("books")
    content = store.read_files("books", version)
    return load(content["adapter_model.safetensors"]) | load(content["head.safetensors"]), json.loads(
        content["report.json"]
    )


@pytest.mark.parametrize("rows", ["all", "one-per-list"])
def test_two_processes_give_the_adapter_of_one(files, tiny_bert, tmp_path, rows):
    """Adapter, dev WER and tokens agree to 1e-4 for both row choices of the correlation; one process publishes."""
    more = ["--correlation-rows", rows]
    assert main([*command(files, tiny_bert, tmp_path / "one"), *more]) == 0
    arguments = [*command(files, tiny_bert, tmp_path / "two"), *more]
    statuses, out, error = run_processes(arguments, arguments)
    assert statuses == [0, 0], error
    assert out.count("published books@") == 1
    expected, report_expected = adapter_and_report(tmp_path / "one")
    actual, report_actual = adapter_and_report(tmp_path / "two")
    for name, tensor in expected.items():
        torch.testing.assert_close(actual[name], tensor, rtol=0, atol=1e-4)
    assert len(report_expected["dev"]) == len(report_actual["dev"])
    for one, other in zip(report_expected["dev"], report_actual["dev"], strict=True):
        assert other["wer"] == pytest.approx(one["wer"], abs=1e-4)
    assert report_actual["cost"]["tokens"] == report_expected["cost"]["tokens"]


@pytest.mark.parametrize("launcher", [TORCHRUN, ACCELERATE], ids=["torchrun", "accelerate"])
def test_two_machines_give_the_adapter_of_one_process(files, tiny_bert, tmp_path, launcher):
    """Under torchrun and accelerate launch the adapter agrees to 1e-4, and one machine publishes."""
    assert main(command(files, tiny_bert, tmp_path / "one")) == 0
    statuses, outputs = run_two_machines(launcher, command(files, tiny_bert, tmp_path / "two"))
    assert statuses == [0, 0], "\n".join(outputs)
    assert "".join(outputs).count("published books@") == 1
    expected, _ = adapter_and_report(tmp_path / "one")
    actual, _ = adapter_and_report(tmp_path / "two")
    for name, tensor in expected.items():
        torch.testing.assert_close(actual[name], tensor, rtol=0, atol=1e-4)


def test_a_failing_process_ends_all_with_its_reason(files, tiny_bert, tmp_path):
    """If process 1 cannot read its lists, both end with status 2 and its reason, and nothing is published."""
    arguments = command(files, tiny_bert, tmp_path)
    broken = [*arguments, "--train", "/nowhere/lists.jsonl"]
    statuses, _, error = run_processes(arguments, broken)
    assert statuses == [2, 2]
    assert "lorb-train-adapter: another process of this run has ended (process 1: /nowhere/lists.jsonl" in error
    assert "lorb-train-adapter: process 1: /nowhere/lists.jsonl" in error
    assert "Traceback" not in error
    assert Store(str(tmp_path / "store")).domains() == []


@pytest.mark.parametrize("size", ["2", "two"])
def test_an_incomplete_launcher_environment_is_one_line(monkeypatch, capsys, files, tiny_bert, tmp_path, size):
    """WORLD_SIZE without the other variables: exit status 2 and one line that names torchrun."""
    monkeypatch.setenv("WORLD_SIZE", size)
    assert main(command(files, tiny_bert, tmp_path)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "torchrun" in error


def test_a_single_process_needs_no_others():
    """With one process, sum, gather and broadcast return their input."""
    processes = Processes()
    tensor = torch.arange(3.0)
    processes.sum([tensor])
    assert torch.equal(processes.gather_rows(tensor[None], [1]), torch.arange(3.0)[None])
    assert processes.broadcast(b"x") == b"x"
    assert processes.is_main

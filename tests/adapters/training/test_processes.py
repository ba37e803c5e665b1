"""Two processes, on one machine or on two, make what one makes, and fail together."""

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
# --multi_gpu is accelerate's only way to torch.distributed.run; its own CPU launcher starts one process, or mpirun
ACCELERATE = ["accelerate", "launch", "--multi_gpu", "--num_machines", "2", "--num_processes", "2"]
ACCELERATE += ["--machine_rank", "{rank}", "--main_process_ip", "127.0.0.1", "--main_process_port", "{port}"]
ACCELERATE += ["--mixed_precision", "no", "--dynamo_backend", "no", "--no_python"]


@pytest.fixture(scope="module")
def files(sample, tmp_path_factory):
    """21 train and 9 dev lists: no even number of steps or shares."""
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
        # AdamW divides a gradient near 0 by its own size: rounding alone moves such a weight by some of a step.
        "--learning-rate", "3e-4",
    ]  # fmt: skip


def together(*arguments):
    """Runs one command in each of some processes; exit statuses, what they printed and what went wrong."""
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


def on_two_machines(launcher, arguments):
    """Runs the trainer under one launcher for each machine; exit statuses and what they said."""
    port = free_port()
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "GLOO_SOCKET_IFNAME": "lo",
    }
    machines = []
    for rank in range(2):
        own = [part.format(rank=rank, port=port) for part in launcher]
        own[0] = str(BIN / own[0])
        machines.append(
            subprocess.Popen(  # noqa: S603 - our own trainer
                [*own, str(BIN / "lorb-train-adapter"), *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=environment,
            )
        )
    said = [machine.communicate(timeout=500)[0] for machine in machines]
    return [machine.returncode for machine in machines], said


def tensors_of(place):
    store = Store(str(place / "store"))
    [version] = store.versions("books")
    content = store.read_files("books", version)
    return load(content["adapter_model.safetensors"]) | load(content["head.safetensors"]), json.loads(
        content["report.json"]
    )


@pytest.mark.parametrize("rows", ["all", "one-per-list"])
def test_two_processes_make_what_one_makes(files, tiny_bert, tmp_path, rows):
    """Adapter, losses and dev agree to 1e-4, the correlation's rows over both processes included; one publishes."""
    more = ["--correlation-rows", rows]
    assert main([*command(files, tiny_bert, tmp_path / "one"), *more]) == 0
    arguments = [*command(files, tiny_bert, tmp_path / "two"), *more]
    statuses, out, error = together(arguments, arguments)
    assert statuses == [0, 0], error
    assert out.count("published books@") == 1
    alone, report_alone = tensors_of(tmp_path / "one")
    shared, report_shared = tensors_of(tmp_path / "two")
    for name, tensor in alone.items():
        torch.testing.assert_close(shared[name], tensor, rtol=0, atol=1e-4)
    assert len(report_alone["dev"]) == len(report_shared["dev"])
    for one, other in zip(report_alone["dev"], report_shared["dev"], strict=True):
        assert other["wer"] == pytest.approx(one["wer"], abs=1e-4)
    assert report_shared["cost"]["tokens"] == report_alone["cost"]["tokens"]


@pytest.mark.parametrize("launcher", [TORCHRUN, ACCELERATE], ids=["torchrun", "accelerate"])
def test_two_machines_make_what_one_process_makes(files, tiny_bert, tmp_path, launcher):
    """Torchrun --nnodes 2, and accelerate launch --num_machines 2: the adapter agrees to 1e-4, and one publishes."""
    assert main(command(files, tiny_bert, tmp_path / "one")) == 0
    statuses, said = on_two_machines(launcher, command(files, tiny_bert, tmp_path / "two"))
    assert statuses == [0, 0], "\n".join(said)
    assert "".join(said).count("published books@") == 1
    alone, _ = tensors_of(tmp_path / "one")
    shared, _ = tensors_of(tmp_path / "two")
    for name, tensor in alone.items():
        torch.testing.assert_close(shared[name], tensor, rtol=0, atol=1e-4)


def test_one_process_failing_ends_all_with_its_reason(files, tiny_bert, tmp_path):
    """The second cannot read its lists: both end with status 2, and the first says why. Nothing is published."""
    arguments = command(files, tiny_bert, tmp_path)
    broken = [*arguments, "--train", "/nowhere/lists.jsonl"]
    statuses, _, error = together(arguments, broken)
    assert statuses == [2, 2]
    assert "lorb-train-adapter: another process of this run has ended (process 1: /nowhere/lists.jsonl" in error
    assert "lorb-train-adapter: process 1: /nowhere/lists.jsonl" in error
    assert "Traceback" not in error
    assert Store(str(tmp_path / "store")).domains() == []


@pytest.mark.parametrize("size", ["2", "two"])
def test_a_launchers_half_environment_is_one_line(monkeypatch, capsys, files, tiny_bert, tmp_path, size):
    """WORLD_SIZE without what belongs to it: exit status 2, and how to start several processes."""
    monkeypatch.setenv("WORLD_SIZE", size)
    assert main(command(files, tiny_bert, tmp_path)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "torchrun" in error


def test_one_process_alone_needs_no_others():
    """Sums, gathers and broadcasts are what goes in."""
    alone = Processes()
    tensor = torch.arange(3.0)
    alone.sum([tensor])
    assert torch.equal(alone.gather_rows(tensor[None], [1]), torch.arange(3.0)[None])
    assert alone.broadcast(b"x") == b"x"
    assert alone.is_main

"""Wrong arguments and files of lorb-train-adapter: refused before training, in one line."""

import gzip
import json
import re
import uuid

import pytest
import torch

from lorb_adapters.cores import usable_cores
from lorb_adapters.training.cli.checks import choose_device
from lorb_adapters.training.cli.train_adapter import main


def broken_json(path):
    good = '{"id": "%d", "ref": "a", "hyps": [{"text": "a"}]}\n'
    path.write_text("".join(good % i for i in range(6)) + '{"id": "6", "ref": \n')
    return r"lists\.jsonl:7: "


def truncated_gzip(path):
    whole = gzip.compress(b'{"id": "1", "ref": "a", "hyps": [{"text": "a"}]}\n' * 50)
    path.write_bytes(whole[: len(whole) // 2])
    return r"lists\.jsonl(:\d+)?: "


def empty(path):
    path.write_text("")
    return r"lists\.jsonl:1: "


def no_reference(path):
    path.write_text('{"id": "1", "hyps": [{"text": "a"}]}\n')
    return r"lists\.jsonl:1: .*ref"


def duplicate_id(path):
    path.write_text('{"id": "1", "ref": "a", "hyps": [{"text": "a"}]}\n' * 2)
    return r"lists\.jsonl:2: .*1"


@pytest.mark.parametrize("damage", [broken_json, truncated_gzip, empty, no_reference, duplicate_id])
@pytest.mark.parametrize("role", ["--train", "--dev", "--test"])
def test_a_bad_file_is_one_line_with_its_position(command, tmp_path, capsys, damage, role):
    """Each defect in each role gives status 2 and one line with file and line number, without a traceback."""
    path = tmp_path / "lists.jsonl"
    position = damage(path)
    assert main([*command, role, str(path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(position, error)


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--domain", "../../etc"], "domain"),
        (["--base", "/nowhere/base"], "base '/nowhere/base' cannot be loaded"),
        (["--train", "/nowhere/lists.jsonl"], "/nowhere/lists.jsonl"),
        (["--epochs", "0"], "epochs is 0"),
        (["--learning-rate", "nan"], "learning-rate is nan"),
        (["--rank", "-1"], "rank is -1"),
        (["--layers", "1-x"], "layers is '1-x'"),
        (["--layers", "3-1"], "layers is '3-1'"),
        (["--layers", "7"], "numbered from 0 to 1"),
        (["--dropout", "1"], "dropout is 1.0"),
        (["--r-drop", "0.5"], "give dropout too"),
        (["--loss", "mwer+distill"], "teacher"),
        (["--teacher", "pll"], "teacher"),
        (["--loss", "mwer+distill", "--teacher", "pll"], "no component score 'pll'"),
        (["--method", "head"], "method head makes nothing that the server can load"),
        (["--method", "full"], "--output-base DIR"),
        (["--output-base", "/nowhere/mine"], "output-base is for method full"),
        (["--resume"], "holds no run to resume"),
        (["--alpha", "0"], "alpha is 0"),
        (
            ["--method", "full", "--layers", "1", "--dry-run"],
            "layers is for methods that can train only some layers: method full cannot",
        ),
        (["--method", "full", "--output-base", "/dev/null/mine"], "output-base /dev/null/mine cannot be created"),
        (["--report-dir", "/dev/null/report"], "report-dir /dev/null/report cannot be created"),
        (["--run-dir", "/dev/null/run"], "run-dir /dev/null/run cannot be created"),
        (["--threads", "-1"], "threads is -1"),
        (["--nice", "20"], "nice is 20"),
        (["--device", "tpu"], "device is 'tpu'"),
        (["--device", "cuda:99"], "device is 'cuda:99'"),
        (["--checkpoint-seconds", "nan"], "checkpoint-seconds is nan"),
    ],
)
def test_an_invalid_value_is_one_line(command, capsys, flags, reason):
    """A value that cannot work is refused by name before training, with status 2."""
    assert main([*command, *flags]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert reason in error


def test_a_store_that_cannot_be_created_is_refused(command, tmp_path, capsys):
    """A store below a file gives status 2 and one line, before a run starts."""
    (tmp_path / "file").write_text("")
    store = str(tmp_path / "file" / "store")
    assert main([*command, "--store", store]) == 2
    assert capsys.readouterr().err == f"lorb-train-adapter: the store {store} is not a folder\n"
    assert not (tmp_path / "run").exists()


def test_a_reserved_domain_is_refused(command, tmp_path, capsys):
    """A name under which nothing can be published is refused before training, not after it."""
    assert main([*command, "--domain", "base"]) == 2
    assert "domain 'base' is reserved" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_store_that_cannot_be_written_is_refused(command, tmp_path, capsys):
    """A folder that no change can be written to gives status 2 and one line, before a run starts."""
    store = tmp_path / "store"
    store.mkdir()
    (store / ".tmp").write_text("in the place of the folder for changes")
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(store) in error
    assert not (tmp_path / "run").exists()


@pytest.fixture
def s3(monkeypatch):
    """A real S3 server."""
    pytest.importorskip("s3fs", reason="no s3fs: pip install '.[s3]'")
    pytest.importorskip("moto", reason="no moto: its server speaks S3")
    from support.servers.s3_server import s3_server

    with s3_server(monkeypatch.setenv) as server:
        yield server


@pytest.mark.parametrize("problem", ["no bucket", "no right to write", "no server"])
def test_a_remote_store_is_tried_before_training(command, s3, monkeypatch, tmp_path, capsys, problem):
    """A missing bucket, missing rights and a wrong address give status 2 and one line, before a run starts."""
    import s3fs

    def refuse(path):
        raise PermissionError(path)

    bucket = f"b{uuid.uuid4().hex}"
    if problem != "no bucket":
        s3fs.S3FileSystem().mkdir(bucket)
    if problem == "no right to write":
        s3.before_put = refuse
    if problem == "no server":
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        s3fs.S3FileSystem.clear_instance_cache()
    assert main([*command, "--store", f"s3://{bucket}/store"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"lorb-train-adapter: s3://{bucket}/store")
    assert not (tmp_path / "run").exists()


def test_a_remote_store_that_works_is_published_in(command, s3, capsys):
    """The check of a store in a bucket leaves nothing that its readers see."""
    import s3fs

    from lorb_adapters.store.store import Store

    url = f"s3://b{uuid.uuid4().hex}/store"
    s3fs.S3FileSystem().mkdir(url.split("/")[2])
    assert main([*command, "--store", url, "--force"]) == 0
    assert Store(url).domains() == ["books"]


@pytest.mark.parametrize(
    ("num_gpus", "num_processes", "device"), [(0, "1", "cpu"), (1, "1", "cuda"), (1, "2", "cpu"), (2, "2", "cuda")]
)
def test_auto_is_a_gpu_if_there_is_one_for_each_process(monkeypatch, num_gpus, num_processes, device):
    """Without a GPU, or with fewer than this machine's processes, auto is the CPU."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: num_gpus)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", num_processes)
    assert choose_device("auto") == device


@pytest.mark.parametrize(("flag", "count"), [("2", 2), ("0", usable_cores())])
def test_threads_divide_batches_and_not_products(command, tmp_path, monkeypatch, flag, count):
    """A batch is divided among --threads, by default among the usable cores; torch computes with one thread."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 99)  # no OMP_NUM_THREADS
    numbers = []
    monkeypatch.setattr(torch, "set_num_threads", numbers.append)
    assert main([*command, "--threads", flag, "--force"]) == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["identity"]["threads"] == count
    assert set(numbers) == {1}

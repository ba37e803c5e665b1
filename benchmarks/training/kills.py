"""Kills a run of lorb-train-adapter ten times at random moments, resumes it, and compares the result.

    python benchmarks/training/kills.py [--base minilm] [--kills 10] [--lists 160] [--seed 0] [--threads 2]

The command runs once undisturbed. A second run is killed ten times by SIGKILL after a random time, resumed each time,
and then runs to its end. Every fifth kill comes during the start, the others during a step, an evaluation or a
checkpoint. Compares the bytes of adapter and head, and the losses, evaluations and ranking in the reports.
"""

import argparse
import gzip
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks
from lorb_adapters.store.store import Store
from lorb_adapters.training.run_folder import FINISHED, RunFolder
from results_file import RESULTS, ROOT, write_results

DATA = ROOT / "tests" / "data" / "librispeech"
OUTPUT = RESULTS / "training_kills.jsonl"


def cut(source: Path, target: Path, count: int) -> Path:
    """Writes the first lists of a file to another one."""
    with gzip.open(source, "rt", encoding="utf-8") as lines:
        target.write_text("".join(line for line, _ in zip(lines, range(count), strict=False)))
    return target


def start(arguments: list[str]) -> subprocess.Popen[bytes]:
    """Starts lorb-train-adapter."""
    command = [sys.executable, "-m", "lorb_adapters.training.cli.train_adapter", *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def undisturbed(arguments: list[str], folder: Path) -> tuple[float, float]:
    """Runs the command to its end; returns the seconds to the first step and in all."""
    started = time.monotonic()
    process = start(arguments)
    while process.poll() is None and not (folder / "run.json").exists():
        time.sleep(0.02)
    startup = time.monotonic() - started
    assert process.wait() == 0, "the undisturbed run failed"
    return startup, time.monotonic() - started


def run(arguments: list[str], folder: Path, kill_after_seconds: float | None, *, at_work: bool = False) -> int:
    """Runs the command until it ends or is killed; returns its exit status.

    at_work: count the seconds from the start of training, not of the process.
    """
    before = written(folder)
    process = start(arguments)
    while at_work and process.poll() is None and written(folder) == before:
        time.sleep(0.01)
    try:
        process.wait(kill_after_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return process.returncode


def written(folder: Path) -> int:
    """The time of the last write to run.json, in nanoseconds; 0 if there is no file."""
    path = folder / "run.json"
    return path.stat().st_mtime_ns if path.exists() else 0


def outcome(store: Path) -> dict[str, str]:
    """Digests of the published files and of the training history in the report."""
    [version] = Store(str(store)).versions("books")
    files = Store(str(store)).read_files("books", version)
    report = json.loads(files["report.json"])
    history = json.dumps({name: report[name] for name in ("losses", "dev", "sets", "ranking")}, sort_keys=True).encode()
    return {
        "adapter": hashlib.sha256(files["adapter_model.safetensors"]).hexdigest(),
        "head": hashlib.sha256(files["head.safetensors"]).hexdigest(),
        "course": hashlib.sha256(history).hexdigest(),
    }


def step_of(folder: Path) -> int:
    """The step of the folder's last checkpoint; 0 if there is none."""
    path = folder / "checkpoint.safetensors"
    if not path.exists():
        return 0
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return int(json.loads(header["__metadata__"]["state"])["step"])


def main() -> None:
    """Kills, resumes, compares and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="minilm")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--lists", type=int, default=160, help="train lists; a fifth as many dev lists")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args()
    rng = random.Random(args.seed)  # noqa: S311 - moments, not secrets
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        train = cut(DATA / "train.jsonl.gz", place / "train.jsonl", args.lists)
        dev = cut(DATA / "dev.jsonl.gz", place / "dev.jsonl", max(8, args.lists // 5))

        def arguments(name: str) -> list[str]:
            (place / name / "store").mkdir(parents=True, exist_ok=True)
            return [
                "--domain", "books", "--base", args.base, "--train", str(train), "--dev", str(dev), "--force",
                "--store", str(place / name / "store"), "--run-dir", str(place / name / "run"), "--quiet",
                "--threads", str(args.threads), "--epochs", "2", "--checkpoint-seconds", "0.3", "--dropout", "0.05",
            ]  # fmt: skip

        startup, seconds = undisturbed(arguments("whole"), place / "whole" / "run")
        print(f"undisturbed: {seconds:.1f} s, {startup:.1f} s of them before the first step")
        table = []
        folder = place / "killed" / "run"
        while len(table) < args.kills:
            begun = (folder / "run.json").exists()
            at_work = len(table) % 5 != 4
            # With 4/5 of the kills at work, the mean total is about two thirds of the work, so the run outlasts them.
            longest = 1.6 * (seconds - startup) / args.kills if at_work else startup
            moment = rng.uniform(0.0, longest)
            status = run([*arguments("killed"), *(["--resume"] if begun else [])], folder, moment, at_work=at_work)
            if status == 0:
                break
            assert status == -9, f"ended with status {status}, not by a kill"
            if RunFolder.status(folder) == FINISHED:  # killed after the end of the training
                status = 0
                break
            during = "work" if at_work else "start"
            table.append({"seconds": round(moment, 2), "of": during, "step_kept": step_of(folder)})
            print(f"kill {len(table):2}  after {moment:4.1f} s of {during:5}  kept: step {table[-1]['step_kept']}")
        if status != 0:
            status = run([*arguments("killed"), "--resume"], folder, None)
            assert status == 0, "the resumed run failed"
        whole, killed = outcome(place / "whole" / "store"), outcome(place / "killed" / "store")
    same = {name: whole[name] == killed[name] for name in whole}
    for name, equal in same.items():
        print(f"{name:8} {whole[name][:16]}  {killed[name][:16]}  {'the same' if equal else 'DIFFERENT'}")
    line = {
        "base": args.base, "lists": args.lists, "threads": args.threads, "seed": args.seed,
        "undisturbed_seconds": round(seconds, 1), "kills": table, "whole": whole, "killed": killed, "same": same,
    }  # fmt: skip
    write_results(args.output, [line], ("base", "lists"))
    if len(table) < args.kills:
        sys.exit(f"the run ended before kill {len(table) + 1}: give more --lists")
    sys.exit(0 if all(same.values()) else 1)


if __name__ == "__main__":
    main()

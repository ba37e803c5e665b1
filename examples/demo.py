"""Shows LoRB in a few minutes on real lists: serve, rescore, train, publish, swap and rescore again.

The demo creates the folder `demo-run` with a copy of the shipped store and prints every command that it runs. The last
line is the word error rate of the shipped adapter on the test lists of the sample.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lorb import Hypothesis, NBest, Outcome, RescoreOptions
from lorb_client import Client

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
SAMPLE = Path("tests/data/librispeech")
RUN_FOLDER = Path("demo-run")
DOMAIN = "librispeech"
NUM_STEPS = 40  # about a minute of training on 2 cores
START_TIMEOUT_SECONDS = 120
SWAP_TIMEOUT_SECONDS = 60

EXAMPLE = NBest(
    (
        Hypothesis("they's iron they say in all our blood", -5.1),
        Hypothesis("there's iron they say in all our blood", -5.3),
        Hypothesis("there's i and they say in all our blood", -5.9),
    )
)


def main() -> int:
    os.chdir(ROOT)
    shutil.rmtree(RUN_FOLDER, ignore_errors=True)
    shutil.copytree("adapters/store", RUN_FOLDER / "store")
    with serving() as target:
        print_heading("1. Rescore the sample's test lists with the shipped adapter")
        shipped = rescore_test_lists(target, RUN_FOLDER / "shipped.jsonl.gz")
        show_one_list(target)

        print_heading(f"2. Train another version: {NUM_STEPS} steps on the sample's train lists")
        before = served_version(target)
        published = run_command(
            "lorb-train-adapter", "--domain", DOMAIN, "--train", SAMPLE / "train.jsonl.gz",
            "--dev", SAMPLE / "dev.jsonl.gz", "--store", RUN_FOLDER / "store", "--max-steps", NUM_STEPS,
            "--references", "--force", "--no-promote", "--report-dir", RUN_FOLDER / "report",
            "--run-dir", RUN_FOLDER / "training",
        )  # fmt: skip
        version = re.findall(rf"published {DOMAIN}@(\S+)", published)[-1]

        print_heading("3. Promote the new version; the server picks it up without a restart")
        run_command("lorb-adapters", "promote", DOMAIN, version, "--store", RUN_FOLDER / "store")
        wait_for_version(target, version)
        print(f"{DOMAIN}@{before} answered before, {DOMAIN}@{version} answers now")

        print_heading("4. Rescore again with the new version")
        rescore_test_lists(target, RUN_FOLDER / "retrained.jsonl.gz")
    print("\nThe shipped adapter was trained longer, on the lists of 63 speakers. On the sample's test lists:")
    print(shipped)
    return 0


@contextmanager
def serving() -> Iterator[str]:
    """Starts a server of the copied store on a free port, yields its address, and stops it with SIGTERM."""
    ready_file = RUN_FOLDER / "ready.json"
    command = [
        BIN / "lorb-serve", "--store", RUN_FOLDER / "store", "--port", "0", "--admin-port", "0", "--metrics-port", "0",
        "--log-format", "text", "--drain-seconds", "0", "--ready-file", ready_file,
    ]  # fmt: skip
    print_command(command)
    with (RUN_FOLDER / "server.log").open("w") as log:
        process = subprocess.Popen(command, stderr=log)
    try:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not ready_file.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"the server did not start; its log:\n{(RUN_FOLDER / 'server.log').read_text()}")
            time.sleep(0.1)
        target = f"127.0.0.1:{json.loads(ready_file.read_text())['port']}"
        print(f"serving on {target}; its log is {RUN_FOLDER / 'server.log'}")
        yield target
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def rescore_test_lists(target: str, out: Path) -> str:
    """Rescores the sample's test lists; returns the last line of the output, the word error rates."""
    printed = run_command("lorb-rescore", SAMPLE / "test.jsonl.gz", "--target", target, "--domain", DOMAIN, "-o", out)
    return printed.strip().splitlines()[-1]


def show_one_list(target: str) -> None:
    """Rescores one list with the Python client and prints it before and after."""
    with Client(target) as client:
        answer = client.rescore(EXAMPLE, RescoreOptions(domain=DOMAIN), timeout_seconds=10)
    if answer.outcome is not Outcome.RESCORED:
        sys.exit("the server had no time to rescore the list within 10 s")
    print("\nOne list through lorb_client.Client, first pass above, answer below:")
    for hypothesis in EXAMPLE.hypotheses:
        print(f"  {hypothesis.first_pass_score:8.2f}            {hypothesis.transcript}")
    print("  combined  posterior")
    for ranked in answer.hypotheses:
        print(f"  {ranked.combined_score:8.2f}  {ranked.posterior:9.3f} {ranked.transcript}")


def served_version(target: str) -> str:
    """Returns the adapter version that answers a call."""
    with Client(target) as client:
        answer = client.rescore(EXAMPLE, RescoreOptions(domain=DOMAIN), timeout_seconds=10)
    if answer.adapter is None:
        sys.exit("the answer names no adapter")
    return answer.adapter.version


def wait_for_version(target: str, version: str) -> None:
    """Waits until the promoted version answers."""
    deadline = time.monotonic() + SWAP_TIMEOUT_SECONDS
    while served_version(target) != version:
        if time.monotonic() > deadline:
            sys.exit(f"{version} was promoted but does not serve; read {RUN_FOLDER / 'server.log'}")
        time.sleep(0.2)


def run_command(program: str, *arguments: object) -> str:
    """Runs one of LoRB's commands, prints its output as it comes, and returns it."""
    command = [BIN / program, *arguments]
    print_command(command)
    with subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True) as process:
        printed = ""
        for line in process.stdout or ():
            print(line, end="", flush=True)
            printed += line
    if process.returncode:
        sys.exit(f"{program} ended with exit status {process.returncode}")
    return printed


def print_command(command: list[object]) -> None:
    words = [Path(str(command[0])).name, *(str(part) for part in command[1:])]
    print(f"\n$ {shlex.join(words)}", flush=True)


def print_heading(text: str) -> None:
    print(f"\n=== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

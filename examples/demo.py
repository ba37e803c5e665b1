"""The whole of LoRB in a few minutes, on real lists: serve, rescore, train, publish, swap, rescore again.

Works in a copy of the shipped store (`demo-run/`, made anew each time) and prints every command it runs, so that each
can be repeated by hand. The last line is the word error rate of the shipped adapter on the sample's test lists.
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

from lorb import Hypothesis, NBest, RescoreOptions
from lorb_client import Client

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
SAMPLE = Path("tests/data/librispeech")
RUN = Path("demo-run")
DOMAIN = "librispeech"
NUM_STEPS = 40  # about a minute of training on 2 cores
SECONDS_TO_START = 120
SECONDS_TO_SWAP = 60

EXAMPLE = NBest(
    (
        Hypothesis("they's iron they say in all our blood", -5.1),
        Hypothesis("there's iron they say in all our blood", -5.3),
        Hypothesis("there's i and they say in all our blood", -5.9),
    )
)


def main() -> int:
    os.chdir(ROOT)
    shutil.rmtree(RUN, ignore_errors=True)
    shutil.copytree("adapters/store", RUN / "store")
    with serving() as target:
        heading("1. Rescore the sample's test lists with the shipped adapter")
        shipped = rescore(target, RUN / "shipped.jsonl.gz")
        show_one_list(target)

        heading(f"2. Train another version: {NUM_STEPS} steps on the sample's own train lists")
        before = served_version(target)
        published = call(
            "lorb-train-adapter", "--domain", DOMAIN, "--train", SAMPLE / "train.jsonl.gz",
            "--dev", SAMPLE / "dev.jsonl.gz", "--store", RUN / "store", "--max-steps", NUM_STEPS,
            "--references", "--force", "--no-promote", "--report-dir", RUN / "report", "--run-dir", RUN / "training",
        )  # fmt: skip
        version = re.findall(rf"published {DOMAIN}@(\S+)", published)[-1]

        heading("3. Promote it; the server, which was not restarted, picks it up")
        call("lorb-adapters", "promote", DOMAIN, version, "--store", RUN / "store")
        wait_for_version(target, version)
        print(f"answers came from {DOMAIN}@{before}, now they come from {DOMAIN}@{version}")

        heading("4. Rescore again with the version just trained")
        rescore(target, RUN / "retrained.jsonl.gz")
    print("\nThe shipped adapter was trained longer, on the lists of 63 speakers; on the sample's test lists:")
    print(shipped)
    return 0


@contextmanager
def serving() -> Iterator[str]:
    """A server of the copied store on a free port; yields where it listens, ends it with SIGTERM."""
    ready = RUN / "ready.json"
    command = [
        BIN / "lorb-serve", "--store", RUN / "store", "--port", "0", "--admin-port", "0", "--metrics-port", "0",
        "--log-format", "text", "--drain-seconds", "0", "--ready-file", ready,
    ]  # fmt: skip
    show(command)
    with (RUN / "server.log").open("w") as log:
        process = subprocess.Popen(command, stderr=log)
    try:
        give_up = time.monotonic() + SECONDS_TO_START
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > give_up:
                sys.exit(f"the server did not start; {RUN / 'server.log'} says:\n{(RUN / 'server.log').read_text()}")
            time.sleep(0.1)
        target = f"127.0.0.1:{json.loads(ready.read_text())['port']}"
        print(f"serving on {target}; its log is {RUN / 'server.log'}")
        yield target
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def rescore(target: str, out: Path) -> str:
    """Rescores the sample's test lists; returns the command's last line, the word error rates."""
    printed = call("lorb-rescore", SAMPLE / "test.jsonl.gz", "--target", target, "--domain", DOMAIN, "-o", out)
    return printed.strip().splitlines()[-1]


def show_one_list(target: str) -> None:
    """One list through the Python client."""
    with Client(target) as client:
        answer = client.rescore(EXAMPLE, RescoreOptions(domain=DOMAIN), timeout_seconds=10)
    print("\nOne list through lorb_client.Client, first pass above, answer below:")
    for hypothesis in EXAMPLE.hypotheses:
        print(f"  {hypothesis.first_pass_score:8.2f}            {hypothesis.transcript}")
    print("  combined  posterior")
    for ranked in answer.hypotheses:
        print(f"  {ranked.combined_score:8.2f}  {ranked.posterior:9.3f} {ranked.transcript}")


def served_version(target: str) -> str:
    """The version that answers now."""
    with Client(target) as client:
        answer = client.rescore(EXAMPLE, RescoreOptions(domain=DOMAIN), timeout_seconds=10)
    if answer.adapter is None:
        sys.exit("the answer names no adapter")
    return answer.adapter.version


def wait_for_version(target: str, version: str) -> None:
    """Calls until the promoted version answers."""
    give_up = time.monotonic() + SECONDS_TO_SWAP
    while served_version(target) != version:
        if time.monotonic() > give_up:
            sys.exit(f"{version} was promoted and did not serve; see {RUN / 'server.log'}")
        time.sleep(0.2)


def call(program: str, *arguments: object) -> str:
    """Runs one of the project's commands, its progress in view; returns what it printed."""
    command = [BIN / program, *arguments]
    show(command)
    with subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True) as process:
        printed = ""
        for line in process.stdout or ():
            print(line, end="", flush=True)
            printed += line
    if process.returncode:
        sys.exit(f"{program} ended with exit status {process.returncode}")
    return printed


def show(command: list[object]) -> None:
    words = [Path(str(command[0])).name, *(str(part) for part in command[1:])]
    print(f"\n$ {shlex.join(words)}", flush=True)


def heading(text: str) -> None:
    print(f"\n=== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

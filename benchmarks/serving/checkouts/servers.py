"""The `lorb-serve` of a checkout, and the load on it."""

import asyncio
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from calls import Caller, GrpcCaller
from checkouts.comparison import RESCORE_MINILM
from load import CALLERS, Latencies, first_answer, open_loop
from models import MINILM, prepared
from processes import MEASURING_FLAGS, ServerProcess, free_port
from workload import ROOT, TaggedList, domain_name

SOURCE_FOLDERS = ("proto", "adapters", "server", "client")
_PYTHON = (sys.executable, "-P", "-c")  # -P: the working directory is not on the path


class CheckoutServer:
    """The running server of a checkout, called from this process's event loop."""

    def __init__(self, process: ServerProcess, lists: Sequence[TaggedList], runner: asyncio.Runner) -> None:
        self._process, self._lists, self._runner = process, lists, runner

    def throughput(self, seconds: float) -> tuple[float, float]:
        """Hypotheses and lists a second with 32 callers."""
        numbers, latencies, took = self._closed(CALLERS, seconds)
        hypotheses = sum(len(self._lists[number % len(self._lists)].texts) for number in numbers)
        return hypotheses / took, len(latencies.seconds) / took

    def alone(self, seconds: float) -> Latencies:
        """The latencies of one caller."""
        return self._closed(1, seconds)[1]

    def offered(self, lists_per_second: float, seconds: float) -> Latencies:
        """The latencies of calls at random times."""
        num_calls = max(1, round(lists_per_second * seconds))
        return self._with_caller(lambda caller: open_loop(caller, lists_per_second, num_calls))

    def _closed(self, num_callers: int, seconds: float) -> tuple[list[int], Latencies, float]:
        return self._with_caller(lambda caller: _closed_loop(caller, num_callers, seconds))

    def _with_caller(self, do):
        async def run():
            caller = self._process.caller(self._lists)
            try:
                return await do(caller)
            finally:
                await caller.close()

        return self._runner.run(run())


async def _closed_loop(caller: Caller, num_callers: int, seconds: float) -> tuple[list[int], Latencies, float]:
    """Returns the calls' numbers, their latencies and the seconds in all. Raises if one is not rescored."""
    await first_answer(caller)
    numbers, answers, latencies = iter(range(10**9)), dict[int, bytes](), list[float]()
    began = time.perf_counter()

    async def call_on() -> None:
        while (sent := time.perf_counter()) < began + seconds:
            number = next(numbers)
            answers[number] = await caller.call(number)
            latencies.append(time.perf_counter() - sent)

    await asyncio.gather(*(call_on() for _ in range(num_callers)))
    took = time.perf_counter() - began
    for number, answer in answers.items():
        caller.scores(number, answer)
    return list(answers), Latencies(sorted(latencies)), took


class Checkout:
    """A checkout of the repository.

    Raises:
        SystemExit: the folder has no `lorb-serve`, or Python would import another checkout's modules.
    """

    def __init__(self, folder: Path) -> None:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        self._module, _, self._function = project["scripts"]["lorb-serve"].partition(":")
        self._environment = {"PYTHONPATH": os.pathsep.join(str(folder / each) for each in SOURCE_FOLDERS)}
        package = self._module.partition(".")[0]
        found = subprocess.run(
            [*_PYTHON, f"from importlib.util import find_spec; print(find_spec('{package}').origin)"],
            env=os.environ | self._environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if found.returncode or not Path(found.stdout.strip()).is_relative_to(folder):
            sys.exit(f"{folder} is no checkout of this repository: {found.stdout}{found.stderr}")

    def start(self, model: str, dtype: str) -> ServerProcess:
        """Starts its server."""
        port = free_port()
        base, store, named = _files(model)
        flags = (
            "--base", base, "--store", store, "--device", "cpu", "--dtype", dtype, "--port", port, "--metrics-port", 0,
            "--no-admin", "--drain-seconds", 0, "--log-level", "warning", *MEASURING_FLAGS,
        )  # fmt: skip
        serve = f"import sys; from {self._module} import {self._function}; sys.exit({self._function}(sys.argv[1:]))"
        command = (*_PYTHON, serve, *flags)
        return ServerProcess(command, self._environment, port, partial(GrpcCaller, domain_name=named))


def _files(model: str) -> tuple[object, Path, Callable[[int], str]]:
    """Base and store, the same for both checkouts, and the names of domains in the store."""
    if model == RESCORE_MINILM:
        return model, ROOT / "adapters" / "store", lambda number: "librispeech"
    made = prepared(model)
    return (model if model == MINILM else made.base), made.store, domain_name

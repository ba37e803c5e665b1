"""A pass of the model of a running server hangs in native code; and the whole process is suspended for 15 s.

    python benchmarks/faults/model/hung_pass.py
    python benchmarks/faults/model/hung_pass.py --commands FOLDER --release before

After a hung pass every call must be answered by its deadline, health must become NOT_SERVING and the process must end
with status 1. A process that was suspended with a call in flight must serve on. Repeats with two front processes. Adds
to benchmarks/results/faults_of_issues.jsonl.
"""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks/faults
from fault_figures import FaultFigure, parse_arguments, report_figures
from server_process import ServerProcess, server_process

from lorb import Hypothesis, NBest, RescoreOptions
from lorb_client import Client
from lorb_client.health import is_serving

CALL_SECONDS = 1.0
LATE_SECONDS = 0.5  # beyond a call's deadline
WAIT_SECONDS = 45.0
SUSPENDED_SECONDS = 15.0


class Caller:
    """Calls the server in turn from a thread of its own.

    Attributes:
        answers: how long each call took; seconds.
        errors: the calls that got an error.
    """

    def __init__(self, target: str) -> None:
        self.answers: list[float] = []
        self.errors = 0
        self._target = target
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._call_on)

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Calls while the context is open."""
        self._thread.start()
        try:
            yield
        finally:
            self._ends.set()
            self._thread.join()

    def _call_on(self) -> None:
        number = 0
        with Client(self._target) as client:
            while not self._ends.is_set():
                number += 1
                began = time.monotonic()
                nbest = NBest((Hypothesis(f"the cat sat {number}", -1.0), Hypothesis(f"the cat sad {number}", -2.0)))
                try:
                    client.rescore(nbest, RescoreOptions(domain="librispeech"), timeout_seconds=CALL_SECONDS)
                except Exception:
                    self.errors += 1
                self.answers.append(time.monotonic() - began)
                time.sleep(0.05)


def hung_pass(commands: Path, num_fronts: int) -> Iterator[FaultFigure]:
    """The figures of a server with `num_fronts` front processes whose model hangs."""
    name = f"hung pass, {num_fronts} front processes"
    with _server(commands, num_fronts) as server:
        caller = Caller(server.target)
        with caller.calling():
            time.sleep(1.0)
            server.child.send_signal(signal.SIGUSR1)
            began = time.monotonic()
            unhealthy_at = _wait_for(lambda: not _is_serving(server), began)
            yield _figure(f"{name}: health", "NOT_SERVING", "SERVING", unhealthy_at)
            ended_at = _wait_for(lambda: server.child.poll() is not None, began)
            yield _figure(f"{name}: process", f"exit status {server.child.poll()}", "alive", ended_at)
            yield FaultFigure(f"{name}: exit status", f"{server.child.poll()}", None, server.child.poll() == 1)
        longest = max(caller.answers)
        yield FaultFigure(
            f"{name}: calls with a deadline of 1 s",
            f"{len(caller.answers)} answered, the last after {longest:.2f} s",
            longest,
            longest <= CALL_SECONDS + LATE_SECONDS,
        )


def suspended_process(commands: Path) -> Iterator[FaultFigure]:
    """The figure of a server that is stopped for 15 s while it takes calls."""
    with _server(commands, 0) as server:
        caller = Caller(server.target)
        with caller.calling():
            time.sleep(1.0)
            server.child.send_signal(signal.SIGSTOP)
            time.sleep(SUSPENDED_SECONDS)
            server.child.send_signal(signal.SIGCONT)
            time.sleep(3.0)
            is_well = server.child.poll() is None and _is_serving(server)
        measured = "SERVING 3 s after it went on" if is_well else "not SERVING"
        yield FaultFigure("process suspended for 15 s", measured, None, is_well)


@contextmanager
def _server(commands: Path, num_fronts: int) -> Iterator[ServerProcess]:
    prefix = (str(commands / "python"), str(Path(__file__).with_name("hanging_server.py")))
    flags = ("--front-processes", num_fronts, "--score-cache-bytes", 0)
    with server_process(commands, *flags, prefix=prefix) as server:
        yield server


def _is_serving(server: ServerProcess) -> bool:
    try:
        return is_serving(server.target, timeout_seconds=1.0)
    except Exception:  # nobody listens any more
        return False


def _wait_for(holds: Callable[[], bool], began: float) -> float | None:
    """When `holds` became true, in seconds after `began`; None if it did not within WAIT_SECONDS."""
    while time.monotonic() < began + WAIT_SECONDS:
        if holds():
            return time.monotonic() - began
        time.sleep(0.1)
    return None


def _figure(name: str, right: str, wrong: str, seconds: float | None) -> FaultFigure:
    measured = f"{wrong} after {WAIT_SECONDS:.0f} s" if seconds is None else f"{right} {seconds:.1f} s after the hang"
    return FaultFigure(name, measured, seconds, seconds is not None)


def main() -> int:
    """Injects the faults one after the other."""
    args = parse_arguments(__doc__)
    figures = [*hung_pass(args.commands, 0), *hung_pass(args.commands, 2), *suspended_process(args.commands)]
    return report_figures(args.release, figures)


if __name__ == "__main__":
    sys.exit(main())

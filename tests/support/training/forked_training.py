"""A script that runs lorb-train-adapter, or lorb-build-base if --text is given, in child processes that it may kill.

The children are forks, so torch is imported once.

    python forked_training.py kills '<JSON arguments>' <run folder> <seed> <kills>
    python forked_training.py processes '<JSON list of each process' arguments>' <port>

Prints the exit statuses as JSON. This process itself computes nothing.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path


def fork(arguments, environment):
    """Starts the command in a child process; returns its id."""
    child = os.fork()
    if child:
        return child
    os.environ.update(environment)
    status = 99
    try:
        from lorb_adapters.pretraining import cli as build_base
        from lorb_adapters.training.cli import train_adapter

        status = (build_base if "--text" in arguments else train_adapter).main(arguments)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def kill_after_checkpoints(child, checkpoint, count, delay_seconds):
    """Kills the child `delay_seconds` after the checkpoint was replaced `count` times; returns its exit status."""
    seen, last = 0, checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
    while seen < count:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if checkpoint.exists() and checkpoint.stat().st_mtime_ns != last:
            seen, last = seen + 1, checkpoint.stat().st_mtime_ns
        time.sleep(0.0005)
    time.sleep(delay_seconds)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kills(arguments, folder, seed, count):
    """Kills and resumes the run `count` times, then lets it end; returns the exit statuses in order."""
    rng = random.Random(seed)
    statuses = []
    for number in range(count):
        child = fork([*arguments, *(["--resume"] if number else [])], {})
        checkpoint = Path(folder) / "checkpoint.safetensors"
        statuses.append(kill_after_checkpoints(child, checkpoint, rng.randint(1, 6), rng.uniform(0.0, 0.03)))
    child = fork([*arguments, "--resume"], {})
    statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return statuses


def processes(arguments, port):
    """Runs the processes of one distributed run; returns their exit statuses."""
    common = {
        "WORLD_SIZE": str(len(arguments)),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "GLOO_SOCKET_IFNAME": "lo",
    }
    children = [fork(each, common | {"RANK": str(rank)}) for rank, each in enumerate(arguments)]
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


if __name__ == "__main__":
    import lorb_adapters.base.loader
    import lorb_adapters.store.store
    import lorb_adapters.training.run  # noqa: F401 - so that the children need not import it

    what, arguments = sys.argv[1], json.loads(sys.argv[2])
    if what == "kills":
        result = kills(arguments, sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    else:
        result = processes(arguments, sys.argv[3])
    sys.stdout.write(json.dumps(result) + "\n")

"""Starts servers as processes, forked from one that has already imported torch.

    python forking_servers.py

Each line of standard input holds the flags of a server, as a JSON list; its process id is written to standard output.
At the end of the input, it kills the servers and exits. The parent process itself computes nothing, so that forking is
safe.
"""

import json
import os
import signal
import sys


def fork(flags):
    """Starts a server in a child process; returns its process id."""
    child = os.fork()
    if child:
        return child
    status = 99
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.close(0)
        status = lorb_server.cli.main(flags)
    finally:
        os._exit(status)


if __name__ == "__main__":
    import lorb_server.app
    import lorb_server.cli

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies: nothing reads their exit status
    started = []
    for line in sys.stdin:
        started.append(fork(json.loads(line)))
        sys.stdout.write(f"{started[-1]}\n")
        sys.stdout.flush()
    for child in started:
        try:
            os.kill(child, signal.SIGKILL)
        except ProcessLookupError:
            continue

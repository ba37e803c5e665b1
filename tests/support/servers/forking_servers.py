"""Starts servers as processes of their own, forks of one that has imported torch already.

    python forking_servers.py

Reads a server's flags from each line of standard input, as a JSON list, and answers with its process id. Ends, and its
servers with it, at the end of its input. The parent never computes anything itself.
"""

import json
import os
import signal
import sys


def fork(flags):
    """Starts a server in a child; returns its id."""
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

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended
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

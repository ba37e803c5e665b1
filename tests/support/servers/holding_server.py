"""A server without a model, in a process of its own, that takes calls and never answers one: it is there to be killed.

    python holding_server.py

Prints its "host:port", then a line for each call that has come.
"""

import sys
import time

from support.servers.rescoring_server import ScriptedService, serving

if __name__ == "__main__":
    service = ScriptedService()
    service.release.clear()
    with serving(service, threads=64) as address:
        sys.stdout.write(f"{address}\n")
        sys.stdout.flush()
        told = 0
        while True:
            while told < len(service.calls):
                told += 1
                sys.stdout.write("call\n")
                sys.stdout.flush()
            time.sleep(0.01)

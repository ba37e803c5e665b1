"""A server without a model that never answers, in its own process, for tests that kill a server.

    python holding_server.py

Prints its "host:port", then the line "call" for each call that arrives.
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
        reported = 0
        while True:
            while reported < len(service.calls):
                reported += 1
                sys.stdout.write("call\n")
                sys.stdout.flush()
            time.sleep(0.01)

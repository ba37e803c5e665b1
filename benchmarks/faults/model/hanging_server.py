"""Becomes a lorb-serve whose model hangs in native code once SIGUSR1 has arrived; hung_pass.py starts it.

python benchmarks/faults/model/hanging_server.py LORB_SERVE [flags of lorb-serve]
"""

import ctypes
import signal
import sys

is_armed = False


def _arm(*_: object) -> None:
    global is_armed
    is_armed = True


def main() -> int:
    """Breaks the model, then serves."""
    signal.signal(signal.SIGUSR1, _arm)
    from lorb_adapters.model import RescoringModel
    from lorb_server.cli import main as serve

    launch = RescoringModel.launch

    def hanging_launch(self, rows, adapters, row_adapters):
        if is_armed:
            ctypes.CDLL(None).sleep(1_000_000)
        return launch(self, rows, adapters, row_adapters)

    RescoringModel.launch = hanging_launch
    return serve(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())

"""Runs every fault of this folder against a release, one script after the other.

python benchmarks/faults/run.py                                    this checkout
python benchmarks/faults/run.py --commands FOLDER --release NAME   the commands of another release
"""

import subprocess
import sys
import time
from pathlib import Path

from fault_figures import parse_arguments

_NOT_FAULTS = ("run.py", "fault_figures.py", "fuse_folder.py", "hanging_server.py", "server_process.py")


def main() -> int:
    parse_arguments(__doc__)
    folder = Path(__file__).parent
    scripts = [each for each in sorted(folder.rglob("*.py")) if each.name not in _NOT_FAULTS]
    wrong = []
    for number, script in enumerate(scripts, 1):
        began = time.monotonic()
        print(f"[{number}/{len(scripts)}] {script.stem}", flush=True)
        command = [sys.executable, str(script), *sys.argv[1:]]
        if subprocess.run(command, check=False).returncode:
            wrong.append(script.stem)
        print(f"    {time.monotonic() - began:.0f} s", flush=True)
    print(f"wrong: {', '.join(wrong)}" if wrong else "every fault ended as it should")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

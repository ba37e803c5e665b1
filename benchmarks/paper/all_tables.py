"""Runs the commands of all tables one after the other, with the same flags.

    python benchmarks/paper/all_tables.py --size full --device cuda     # as benchmarks/paper/gpu does

Finished cells are skipped. A table that fails does not stop the next one. The exit status is the highest of the
tables'.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    """Runs the tables in the order of their numbers, because later ones use the learning rates that Table 1 chose."""
    worst = 0
    for script in sorted(HERE.glob("table[0-9].py")):
        print(f"== {script.name}", flush=True)
        worst = max(worst, subprocess.run([sys.executable, str(script), *sys.argv[1:]], check=False).returncode)
        if worst == 130:  # interrupted
            break
    return worst


if __name__ == "__main__":
    raise SystemExit(main())

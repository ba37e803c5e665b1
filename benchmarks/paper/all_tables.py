"""All tables, one after the other, by their own commands: flags are handed on.

    python benchmarks/paper/all.py --size full --device cuda       # what benchmarks/paper/gpu does

A table that is done costs nothing; one that fails does not keep the next from its turn. The exit status is the worst.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    """Runs them by number: later tables read the learning rates that Table 1 chose."""
    worst = 0
    for script in sorted(HERE.glob("table[0-9].py")):
        print(f"== {script.name}", flush=True)
        worst = max(worst, subprocess.run([sys.executable, str(script), *sys.argv[1:]], check=False).returncode)
        if worst == 130:  # interrupted
            break
    return worst


if __name__ == "__main__":
    raise SystemExit(main())

"""The committed page of planted defects is what its script prints."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
SCRIPT = "benchmarks/training/audit_defects.py"
PAGE = "benchmarks/results/audit_defects.md"


def test_the_page_is_what_the_script_prints():
    """The script's output equals the committed page; after a change, regenerate it with the command on the page."""
    printed = subprocess.run([sys.executable, ROOT / SCRIPT], stdout=subprocess.PIPE, text=True, check=True).stdout  # noqa: S603
    assert printed == (ROOT / PAGE).read_text(encoding="utf-8")

"""Plants each defect of the tests in real lists and prints the findings of the audit as a table.

python benchmarks/training/audit_defects.py > benchmarks/results/audit_defects.md
"""

import sys
from pathlib import Path

from lorb_adapters.training.data.audit import FINDING_COLUMNS, Audit
from lorb_adapters.training.data.audit.table import aligned_table

TESTS = Path(__file__).parents[2] / "tests"
sys.path.append(str(TESTS))
from support.faulty_input.planted_defects import DEFECTS, clean_sets  # noqa: E402


def main() -> None:
    clean = clean_sets(TESTS / "data" / "librispeech")
    rows = [("none", *row) for row in Audit.of(clean).finding_rows()]
    for plant in DEFECTS:
        sets = {name: list(lists) for name, lists in clean.items()}
        plant(sets)
        rows += [(plant.__name__.replace("_", " "), *row) for row in Audit.of(sets).finding_rows()]
    print(f"{len(DEFECTS)} defects, each planted alone in 100 lists of train, dev and test of tests/data/librispeech;")
    print("without one, nothing is found. Command: `python benchmarks/training/audit_defects.py`.\n")
    print(aligned_table(("planted", *FINDING_COLUMNS), rows))


if __name__ == "__main__":
    main()

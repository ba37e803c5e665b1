"""Makes the study's sets from the public lists and prints their sizes and digests, which data.md records.

    python benchmarks/paper/data.py --source DIR [--sets runs/paper/sets]

DIR contains librispeech_ls100_10best, dstc2_live and hp_atis. The licences of the last two do not allow
redistribution.
"""

import argparse
from pathlib import Path

from study.harness.command import ROOT
from study.lists.sets import prepare, read


def main() -> None:
    """Makes the sets and prints a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--sets", type=Path, default=ROOT / "runs" / "paper" / "sets")
    args = parser.parse_args()
    print("| set | lists | hypotheses | reference words | sha256 of its lines |\n| --- | --- | --- | --- | --- |")
    for name, digest in prepare(args.source, args.sets).items():
        lists = read(args.sets / f"{name}.jsonl.gz")
        hypotheses = sum(len(each["hyps"]) for each in lists)
        words = sum(len(each["ref"].split()) for each in lists)
        print(f"| {name} | {len(lists):,} | {hypotheses:,} | {words:,} | `{digest}` |")


if __name__ == "__main__":
    main()

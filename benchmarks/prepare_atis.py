"""Cuts the HyPoradise ATIS lists into train and dev: dev is a fixed tenth of train by a hash of the id.

Lists whose id is also one of test's are dropped from both. The lists may not enter the repository (ATIS is LDC's).

    python benchmarks/prepare_atis.py --source DIR --out runs/atis
"""

import argparse
import hashlib
from pathlib import Path

from prepare_librispeech import Record, read, write

DEV_ONE_IN = 10


def is_dev(record: Record) -> bool:
    return int(hashlib.sha256(str(record["id"]).encode()).hexdigest(), 16) % DEV_ONE_IN == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="folder of hp_atis")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    in_test = {record["id"] for record in read(args.source / "test.jsonl.gz")}
    lists = read(args.source / "train.jsonl.gz")
    kept = [record for record in lists if record["id"] not in in_test]
    parts = {"train": [r for r in kept if not is_dev(r)], "dev": [r for r in kept if is_dev(r)]}
    for name, records in parts.items():
        write(args.out / f"{name}.jsonl.gz", records)
        print(f"{args.out / name}: {len(records)} lists")
    print(f"dropped, their ids are in test: {len(lists) - len(kept)}")


if __name__ == "__main__":
    main()

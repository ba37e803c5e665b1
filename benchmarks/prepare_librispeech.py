"""Splits the LibriSpeech lists into train and dev without common speakers, and makes tests/data/librispeech.

The ESPnet lists exist only for LibriSpeech's dev and test sets. Train and dev of the adapter are therefore both cut
from dev_clean and dev_other; the test sets are not cut. The sample has all lists of some speakers of each part.

    python benchmarks/prepare_librispeech.py --source DIR --out runs/librispeech [--sample tests/data/librispeech]
"""

import argparse
import gzip
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

NUM_DEV_SPEAKERS = 5  # of each of dev_clean and dev_other
NUM_SAMPLE_SPEAKERS = {"train": 6, "dev": 2, "test": 3}  # of each of clean and other

Record = dict[str, Any]


def read(path: Path) -> list[Record]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def write(path: Path, records: Iterable[Record]) -> None:
    """Writes gzip without a time stamp, so that the same lists give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as out:
        for record in records:
            out.write((json.dumps(record, ensure_ascii=False) + "\n").encode())


def speaker(record: Record) -> str:
    return str(record["id"]).split("-")[0]


def shuffled_speakers(records: list[Record]) -> list[str]:
    """All speakers, sorted by a hash of their names."""
    return sorted({speaker(r) for r in records}, key=lambda s: hashlib.sha256(s.encode()).digest())


def of_speakers(records: list[Record], speakers: Iterable[str]) -> list[Record]:
    wanted = set(speakers)
    return [r for r in records if speaker(r) in wanted]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="folder of librispeech_ls100_10best")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sample", type=Path)
    args = parser.parse_args()

    parts: dict[str, list[Record]] = {"train": [], "dev": []}
    sample: dict[str, list[Record]] = {"train": [], "dev": [], "test": []}
    for condition in ("clean", "other"):
        lists = read(args.source / f"dev_{condition}.jsonl.gz")
        speakers = shuffled_speakers(lists)
        dev, train = speakers[:NUM_DEV_SPEAKERS], speakers[NUM_DEV_SPEAKERS:]
        parts["dev"] += of_speakers(lists, dev)
        parts["train"] += of_speakers(lists, train)
        test_lists = read(args.source / f"test_{condition}.jsonl.gz")
        sample["train"] += of_speakers(lists, train[: NUM_SAMPLE_SPEAKERS["train"]])
        sample["dev"] += of_speakers(lists, dev[: NUM_SAMPLE_SPEAKERS["dev"]])
        sample["test"] += of_speakers(test_lists, shuffled_speakers(test_lists)[: NUM_SAMPLE_SPEAKERS["test"]])
    outputs = [(args.out, parts)] + ([(args.sample, sample)] if args.sample else [])
    for folder, named in outputs:
        for name, records in named.items():
            write(folder / f"{name}.jsonl.gz", records)
            print(f"{folder / name}: {len(records)} lists, {len({speaker(r) for r in records})} speakers")


if __name__ == "__main__":
    main()

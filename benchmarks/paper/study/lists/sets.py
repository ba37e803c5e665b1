"""Makes each domain's train, dev and test sets, and cuts of them. data.md names the sources."""

import gzip
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Record = dict[str, Any]

TRAIN, DEV, TEST = "train", "dev", "test"
NUM_DEV_SPEAKERS = 5  # of each of LibriSpeech's dev_clean and dev_other
ATIS_DEV_ONE_IN = 10


def read(path: Path) -> list[Record]:
    """Reads the lists of a .jsonl.gz file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def write(path: Path, records: Iterable[Record]) -> None:
    """Writes gzip atomically and without a time stamp, so that the same lists give the same bytes.

    If two cells write the same cut at once, the later file stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with partial.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as out:
        for record in records:
            out.write((json.dumps(record, ensure_ascii=False) + "\n").encode())
    partial.replace(path)


def prepare(source: Path, out: Path) -> dict[str, str]:
    """Makes the sets that `out` lacks; returns the sha256 of each set's lines, in hex, by name.

    source: the folder with librispeech_ls100_10best, dstc2_live and hp_atis.
    """
    makers = {"librispeech": _librispeech, "dstc2_live": _dstc2, "hp_atis": _atis}
    digests: dict[str, str] = {}
    for domain, make in makers.items():
        paths = {part: out / domain / f"{part}.jsonl.gz" for part in (TRAIN, DEV, TEST)}
        if not all(path.exists() for path in paths.values()):
            for part, records in make(source).items():
                write(paths[part], records)
        digests |= {f"{domain}/{part}": digest(path) for part, path in paths.items()}
    return digests


def digest(path: Path) -> str:
    """The SHA-256 of the uncompressed lines, in hex."""
    with gzip.open(path) as lines:
        return hashlib.sha256(lines.read()).hexdigest()


@dataclass(frozen=True, slots=True)
class Lists:
    """A cut of a set.

    Attributes:
        domain, part: such as "hp_atis" and "dev".
        count: number of lists; None: all. A larger cut contains the smaller ones.
        hypotheses: number of first hypotheses kept of each list; None: all.
    """

    domain: str
    part: str
    count: int | None = None
    hypotheses: int | None = None

    @property
    def name(self) -> str:
        """The name of the cut and of its file."""
        counts = "" if self.count is None else f"-{self.count}"
        return f"{self.domain}-{self.part}{counts}" + ("" if self.hypotheses is None else f"-best{self.hypotheses}")

    def path(self, sets: Path, *, make: bool = True) -> Path:
        """The cut's file in the folder of sets. make: whether to make a missing one."""
        whole = sets / self.domain / f"{self.part}.jsonl.gz"
        if self.count is None and self.hypotheses is None:
            return whole
        path = sets / "cuts" / f"{self.name}.jsonl.gz"
        if make and not path.exists():
            write(path, self._cut(read(whole)))
        return path

    def _cut(self, records: list[Record]) -> list[Record]:
        ids = sorted((str(record["id"]) for record in records), key=_hash)
        kept = set(ids if self.count is None else ids[: self.count])
        return [r | {"hyps": r["hyps"][: self.hypotheses]} for r in records if str(r["id"]) in kept]


def _hash(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest(), 16)


def _librispeech(source: Path) -> dict[str, list[Record]]:
    """Splits the lists of LibriSpeech's dev sets into train and dev by speaker, as prepare_librispeech.py does."""
    parts: dict[str, list[Record]] = {TRAIN: [], DEV: [], TEST: []}
    for condition in ("clean", "other"):
        lists = read(source / "librispeech_ls100_10best" / f"dev_{condition}.jsonl.gz")
        speakers = sorted({_speaker(r) for r in lists}, key=lambda s: hashlib.sha256(s.encode()).digest())
        dev = set(speakers[:NUM_DEV_SPEAKERS])
        parts[DEV] += [r for r in lists if _speaker(r) in dev]
        parts[TRAIN] += [r for r in lists if _speaker(r) not in dev]
        parts[TEST] += read(source / "librispeech_ls100_10best" / f"test_{condition}.jsonl.gz")
    return parts


def _speaker(record: Record) -> str:
    return str(record["id"]).split("-")[0]


def _dstc2(source: Path) -> dict[str, list[Record]]:
    return {part: read(source / "dstc2_live" / f"{part}.jsonl.gz") for part in (TRAIN, DEV, TEST)}


def _atis(source: Path) -> dict[str, list[Record]]:
    """Takes a tenth of train for dev, by a hash of the id, and drops lists whose id is in test."""
    test = read(source / "hp_atis" / "test.jsonl.gz")
    in_test = {record["id"] for record in test}
    kept = [r for r in read(source / "hp_atis" / "train.jsonl.gz") if r["id"] not in in_test]
    dev = [r for r in kept if _hash(str(r["id"])) % ATIS_DEV_ONE_IN == 0]
    in_dev = {r["id"] for r in dev}
    return {TRAIN: [r for r in kept if r["id"] not in in_dev], DEV: dev, TEST: test}

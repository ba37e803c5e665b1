"""Measures PocketSphinx's word errors on a domain's spoken sentences before and after rescoring with an adapter.

    python benchmarks/pocketsphinx/run.py FOLDER --base minilm            dev, to choose the settings
    python benchmarks/pocketsphinx/run.py FOLDER --base minilm --test     the final figure, once

make_lists.py fills FOLDER. A test set must not be used twice: --test-folder names a fresh one, without sentences of
FOLDER.

Trains in FOLDER/NAME with lorb-train-adapter, which gets the flags after `--`, and serves the published adapter.
Rescores dev with lorb-rescore. With --test, also rescores the test lists and writes
benchmarks/results/pocketsphinx.jsonl.
"""

import argparse
import gzip
import json
import re
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from msgspec import to_builtins
from sentences import same_words, sentences_in

from lorb.formats import read_nbest_lists
from lorb.formats.writing import native_record, write_native
from lorb.nbest import NBest
from lorb.word_errors import word_errors
from lorb_client import Client
from results_file import RESULTS, write_results
from serving_process import serving_process
from word_errors_of_file import evaluation

BIN = Path(sys.executable).parent
OUTPUT = RESULTS / "pocketsphinx.jsonl"
DOMAIN = "pocketsphinx"


def lists_of(folder: Path, part: str) -> list[NBest]:
    """The lists of a part: train, dev or test."""
    cells = sorted(folder.glob(f"{part}-*.jsonl.gz"))
    if not cells:
        sys.exit(f"{folder} has no {part}-*.jsonl.gz: run make_lists.py")
    return read_nbest_lists(cells, require_references=True)


def own_best_errors(folder: Path, part: str) -> int:
    """Word errors of PocketSphinx's own best path, which is not always the first of its N-best list."""
    cells = [gzip.decompress(cell.read_bytes()) for cell in sorted(folder.glob(f"{part}-*.jsonl.gz"))]
    records = [json.loads(line) for cell in cells for line in cell.splitlines()]
    return sum(word_errors(record["ref"], record["decoder_best"]) for record in records)


def call(program: str, *arguments: object) -> str:
    """Runs one of LoRB's commands; returns its output."""
    command = [str(BIN / program), *(str(argument) for argument in arguments)]
    print(f"$ {shlex.join([program, *command[1:]])}", flush=True)
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    print(finished.stdout, end="", flush=True)
    if finished.returncode:
        sys.exit(f"{program} ended with status {finished.returncode}")
    return finished.stdout


def rescored(target: str, lists: list[NBest], place: Path) -> tuple[dict[str, object], Counter[str]]:
    """Rescores lists with a server; returns the figures and the outcomes that lorb-rescore prints.

    place: path of the lists' files before and after, without suffix.
    """
    before, after = place.with_suffix(".before.jsonl.gz"), place.with_suffix(".after.jsonl.gz")
    write_native(before, (native_record(nbest) for nbest in lists))
    printed = call("lorb-rescore", before, "--target", target, "--domain", DOMAIN, "-o", after, "--fail")
    outcomes = Counter(dict(re.findall(r"outcomes\s+(\w+) (\d+)", printed)))
    figures = evaluation(lists, read_nbest_lists([after], require_references=True)).figures()
    return to_builtins(figures), outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--base", default="minilm")
    parser.add_argument("--name", default="adapter", help="name of the training run, to compare several on dev")
    parser.add_argument("--test", action="store_true")
    parser.add_argument("--test-folder", type=Path, metavar="FRESH", help="folder of the test lists (default: FOLDER)")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    flags_at = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    args, training_flags = parser.parse_args(sys.argv[1:flags_at]), sys.argv[flags_at + 1 :]
    folders = {"train": args.folder, "dev": args.folder, "test": args.test_folder or args.folder}
    lists = {part: lists_of(folder, part) for part, folder in folders.items()}
    sentences = {part: sentences_in(folder, (part,)) for part, folder in folders.items()}
    assert not sentences["test"] & sentences["dev"]
    if args.test_folder:
        assert not sentences["test"] & sentences_in(args.folder, ("test",))
    held_out = sentences["dev"] | sentences["test"]
    lists["train"] = [nbest for nbest in lists["train"] if same_words(nbest.reference or "") not in held_out]

    place = args.folder / args.name
    store, run = place / "store", place / "run"
    if not (place / "report" / "report.json").exists():
        store.mkdir(parents=True, exist_ok=True)
        for part in ("train", "dev"):
            write_native(place / f"{part}.jsonl.gz", (native_record(nbest) for nbest in lists[part]))
        resume = ["--resume"] if (run / "run.json").exists() else []
        call(
            "lorb-train-adapter", "--domain", DOMAIN, "--base", args.base, "--train", place / "train.jsonl.gz",
            "--dev", place / "dev.jsonl.gz", "--store", store, "--run-dir", run, "--report-dir", place / "report",
            "--no-golden-lists", "--quiet", *resume, *training_flags,
        )  # fmt: skip
    figures = {}
    with serving_process("--store", store, "--base", args.base) as server:
        with Client(server.target) as client:
            info = client.server_info()
        for part in ("dev", "test") if args.test else ("dev",):
            figures[part], outcomes = rescored(server.target, lists[part], place / part)
            figures[part] |= {"own_best_errors": own_best_errors(folders[part], part), "outcomes": outcomes}
            print(json.dumps({part: figures[part]}, indent=2), flush=True)
    if args.test:
        settings, of_test = (json.loads((folders[part] / "settings.json").read_text()) for part in ("train", "test"))
        [version] = (store / DOMAIN / "versions").iterdir()
        result = {
            "recogniser": "pocketsphinx, its own en-us model", "speech": "flite, voices slt and rms in turn",
            **settings, "test": of_test["test"], "test_seed": of_test["seed"], "train": len(lists["train"]),
            "base": args.base, "training_flags": training_flags, "adapter": version.name,
            "base_fingerprint": info.base_fingerprint, "server_dtype": info.dtype,
            "figures": figures,
        }  # fmt: skip
        write_results(args.output, [result], ("base", "training_flags"))


if __name__ == "__main__":
    main()

"""Makes N-best lists: synthesises a domain's sentences with flite and decodes them with PocketSphinx.

    python benchmarks/pocketsphinx/make_lists.py TEXT.txt.gz FOLDER [--train 1000 --dev 150 --test 200 --seed 0]
    python benchmarks/pocketsphinx/make_lists.py TEXT.txt.gz FRESH --train 0 --dev 0 --seed 1 --without FOLDER

TEXT has one sentence per line. The files test-000.jsonl.gz, dev-000.jsonl.gz, train-000.jsonl.gz, ... in FOLDER have 25
lists each and are written in this order; a stopped run continues with the first missing file. No sentence is in two
sets. The second command makes a test set without sentences of FOLDER. The voices slt and rms alternate. Decoding is the
same as in examples/rescore_pocketsphinx.py. The licence of the text applies to the lists.
"""

import argparse
import gzip
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from lorb.formats.writing import native_record, write_native

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
from recordings import SAMPLE_RATE_HZ, read_samples
from rescore_pocketsphinx import decode_nbest, make_decoder

sys.path.insert(0, str(Path(__file__).resolve().parent))
from sentences import same_words, sentences_in

VOICES = ("slt", "rms")
SENTENCES_A_CELL = 25


def sentences_of(text: Path, seed: int, without: Path | None) -> list[str]:
    """The distinct sentences of a text without those of the folder `without`, shuffled."""
    excluded = sentences_in(without) if without else frozenset()
    with gzip.open(text, "rt", encoding="utf-8") as lines:
        sentences = list(dict.fromkeys(" ".join(line.split()) for line in lines))
    sentences = [sentence for sentence in sentences if same_words(sentence) not in excluded]
    random.Random(seed).shuffle(sentences)  # noqa: S311 - no secret
    return sentences


def cells_of(sentences: list[str], sizes: dict[str, int]) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """(name of a file, its utterances) of each file. An utterance is (id, voice, sentence)."""
    rest = iter(sentences)
    for part, size in sizes.items():
        spoken = [(f"{part}-{i:04}", VOICES[i % 2], sentence) for i, sentence in zip(range(size), rest, strict=False)]
        for number, start in enumerate(range(0, len(spoken), SENTENCES_A_CELL)):
            yield f"{part}-{number:03}", spoken[start : start + SENTENCES_A_CELL]


def speech(voice: str, sentence: str) -> bytes:
    """The audio samples of a sentence spoken by flite."""
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "speech.wav"
        subprocess.run(["flite", "-voice", voice, "-t", sentence, "-o", recording], check=True)  # noqa: S607 - Debian's
        return read_samples(recording)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=1000)
    parser.add_argument("--dev", type=int, default=150)
    parser.add_argument("--test", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--without", type=Path, metavar="FOLDER", help="leave out the sentences of its lists")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    settings = {"text": args.text.name, "seed": args.seed, "test": args.test, "dev": args.dev}
    if args.without:
        settings["without"] = args.without.name
    recorded = args.folder / "settings.json"
    if recorded.exists() and json.loads(recorded.read_text()) != settings:
        sys.exit(f"{recorded} has {recorded.read_text()}, not {json.dumps(settings)}: give another folder")
    recorded.write_text(json.dumps(settings))

    decoder = make_decoder()
    sizes = {"test": args.test, "dev": args.dev, "train": args.train}
    for name, utterances in cells_of(sentences_of(args.text, args.seed, args.without), sizes):
        cell = args.folder / f"{name}.jsonl.gz"
        if cell.exists():
            continue
        began, cpu_began, num_samples, records = time.monotonic(), time.process_time(), 0, []
        for utterance, voice, sentence in utterances:
            samples = speech(voice, sentence)
            num_samples += len(samples) // 2
            decoded = native_record(replace(decode_nbest(decoder, samples), id=utterance, reference=sentence))
            own_best = decoder.hyp()
            records.append({**decoded, "voice": voice, "decoder_best": own_best.hypstr if own_best else ""})
        write_native(cell, records)
        audio = num_samples / SAMPLE_RATE_HZ
        wall, cpu = time.monotonic() - began, time.process_time() - cpu_began
        print(
            f"{name}: {audio:.0f} s of speech, real-time factor {wall / audio:.2f}, CPU {cpu / audio:.2f}", flush=True
        )


if __name__ == "__main__":
    main()

"""How often the publication test publishes adapters that know nothing, and whether it publishes those that help.

    python benchmarks/training/publish_gate.py
    python benchmarks/training/publish_gate.py --train hp_atis librispeech dstc2_live --source DIR
    python benchmarks/training/publish_gate.py --train pocketsphinx --pocketsphinx-lists FOLDER

False publications: each trial draws noise in place of the rescoring scores of the sample's 342 dev lists, for three
evaluations, and lets the trainer's own functions choose, cross-fit and decide. The figure to compare with is the test
of earlier releases, which judged dev as tuned on dev. The trials of a seed are always the same.

True publications: the adapter of each row of the README's results, trained anew with the flags of test_log.md and
without a test set. A run takes 10 minutes to two hours of one core and is kept in --cache; a stopped one continues.
DIR has librispeech_ls100_10best, dstc2_live and hp_atis; FOLDER is filled by benchmarks/pocketsphinx/make_lists.py.
Without a run, the shipped LibriSpeech adapter is measured with its final scores alone.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "paper"))
from lorb.formats import read_nbest_lists
from lorb_adapters.base.loader import Base, load_base
from lorb_adapters.lora.weights import AdapterWeights
from lorb_adapters.model import RescoringModel
from lorb_adapters.ranking import RankPrior
from lorb_adapters.store.store import Store
from lorb_adapters.store.verified_loading import load_adapter
from lorb_adapters.text import TextNormalization
from lorb_adapters.training.data.encoded_lists import EncodedList, encode_lists
from lorb_adapters.training.data.first_pass import fit_rank_prior
from lorb_adapters.training.evaluation.cross_fitting import CrossFit, Scores, cross_fit
from lorb_adapters.training.evaluation.evaluation import evaluate
from lorb_adapters.training.evaluation.set_figures import SetFigures
from lorb_adapters.training.evaluation.tuning import errors_by_weight, scored_lists, tune_ranking
from lorb_adapters.training.methods.scoring import score_lists
from lorb_adapters.training.publish_decision import is_proven
from lorb_adapters.training.report.report import read_report
from results_file import RESULTS, ROOT, write_results
from study.lists.sets import prepare

OUTPUT = RESULTS / "publish_gate.jsonl"
SAMPLE = ROOT / "tests" / "data" / "librispeech"
CACHE = Path("/tmp/lorb-benchmarks/publish_gate")  # noqa: S108 - the folder of all benchmarks' large files
NUM_EVALUATIONS = 3
LIBRISPEECH, POCKETSPHINX = "librispeech", "pocketsphinx"
FLAGS = {
    "hp_atis": "--base rescore-minilm --references --epochs 4",
    LIBRISPEECH: "--base rescore-minilm --references --epochs 2 --evaluations-per-epoch 2 --correlation-weight 1e-4",
    "dstc2_live": "--base minilm --hypotheses-per-list 10 --dropout 0.1",
    POCKETSPHINX: "--base rescore-minilm --references --epochs 3",
}

Noise = Callable[[np.random.Generator, Sequence[EncodedList]], Scores]


def gaussian(rng: np.random.Generator, lists: Sequence[EncodedList]) -> Scores:
    """Independent scores of standard deviation 1."""
    return [rng.standard_normal(len(each.errors)).tolist() for each in lists]


def heavy_tails(rng: np.random.Generator, lists: Sequence[EncodedList]) -> Scores:
    """Independent scores with rare large values: Student's t with two degrees of freedom."""
    return [rng.standard_t(2, len(each.errors)).tolist() for each in lists]


def word_weights(rng: np.random.Generator, lists: Sequence[EncodedList]) -> Scores:
    """A random score for each word, summed over the text. It knows nothing, but some draws may help by chance."""
    words = sorted({word for each in lists for text in each.distinct for word in text.transcript.split()})
    score = dict(zip(words, rng.standard_normal(len(words)).tolist(), strict=True))
    return [[sum(score[word] for word in text.transcript.split()) for text in each.distinct] for each in lists]


@dataclass(frozen=True, slots=True)
class Judged:
    """The figures of one adapter on dev: as tuned on dev, and cross-fitted."""

    as_tuned: SetFigures
    cross_fit: CrossFit

    @classmethod
    def of(cls, lists: Sequence[EncodedList], evaluations: Sequence[Scores], prior: RankPrior) -> "Judged":
        """Chooses among evaluations, tunes and measures as a training run does."""
        best = min(evaluations, key=lambda each: errors_by_weight(scored_lists(lists, each, prior)).sum(axis=1).min())
        ranking = tune_ranking(lists, best, prior, calibrates=False)
        return cls(evaluate(lists, best, ranking).figures(), cross_fit(lists, evaluations, prior))


def encoded(base: Base, path: Path) -> list[EncodedList]:
    """The lists of a file, encoded as the trainer encodes them by default."""
    lists = read_nbest_lists([path], require_references=True)
    return encode_lists(lists, base.text_encoder, TextNormalization(), uses_context=False)


def measure_noise(base: Base, num_trials: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yields the publications among `num_trials` adapters that know nothing, for each kind of noise."""
    dev, prior = encoded(base, SAMPLE / "dev.jsonl.gz"), fit_rank_prior(encoded(base, SAMPLE / "train.jsonl.gz"))
    noises: tuple[Noise, ...] = (gaussian, heavy_tails, word_weights)
    for draw in noises:
        before = after = 0
        for trial in range(num_trials):
            rng = np.random.default_rng([seed, trial])
            judged = Judged.of(dev, [draw(rng, dev) for _ in range(NUM_EVALUATIONS)], prior)
            before += is_proven(judged.as_tuned)
            after += is_proven(judged.cross_fit.figures)
        yield {
            "what": "noise", "name": draw.__name__, "trials": num_trials, "seed": seed, "dev_lists": len(dev),
            "folds": judged.cross_fit.folds, "evaluations": NUM_EVALUATIONS, "published": after,
            "published_as_tuned": before,
        }  # fmt: skip


def train(name: str, source: Path, lists: Path, cache: Path) -> None:
    """Trains the adapter of a row of the README in the folder `cache`/`name`, unless its report is there."""
    folder = cache / name
    if (folder / "report" / "report.json").exists():
        return
    flags = [*FLAGS[name].split(), "--threads", "1"]
    if name == POCKETSPHINX:
        script = ROOT / "benchmarks" / "pocketsphinx" / "run.py"
        base = flags[flags.index("--base") + 1]
        command = [sys.executable, str(script), str(lists), "--base", base, "--name", "publish_gate", "--", *flags[2:]]
        subprocess.run(command)  # not published is status 1, and has a report
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report").symlink_to((lists / "publish_gate" / "report").resolve())
        return
    prepare(source, cache / "sets")
    paths = [str(cache / "sets" / name / f"{part}.jsonl.gz") for part in ("train", "dev")]
    resume = ["--resume"] if (folder / "run" / "checkpoint.safetensors").exists() else []
    command = [
        str(Path(sys.executable).parent / "lorb-train-adapter"), "--domain", name, "--train", paths[0], "--dev",
        paths[1], "--store", str(folder / "store"), "--run-dir", str(folder / "run"), "--report-dir",
        str(folder / "report"), *flags, *resume,
    ]  # fmt: skip
    subprocess.run(command, stdout=subprocess.DEVNULL)  # not published is status 3, and has a report


def measured_adapter(name: str, cache: Path) -> dict[str, Any] | None:
    """The figures of a trained adapter; those of the shipped one for LibriSpeech; else None."""
    report_folder = cache / name / "report"
    if (report_folder / "report.json").exists():
        report = read_report(report_folder)
        assert report.cross_fit is not None
        return _adapter_line(name, FLAGS[name], Judged(report.sets["dev"], report.cross_fit))
    if name != LIBRISPEECH:
        return None
    base = load_base("rescore-minilm")
    store = Store(str(ROOT / "adapters" / "store"))
    weights: AdapterWeights = load_adapter(store, name, store.versions(name)[-1], base).weights
    sets = cache / "sets" / name if (cache / "sets" / name).exists() else SAMPLE
    dev, prior = encoded(base, sets / "dev.jsonl.gz"), fit_rank_prior(encoded(base, sets / "train.jsonl.gz"))
    judged = Judged.of(dev, [list(score_lists(RescoringModel(base), weights, dev))], prior)
    return _adapter_line(name, "the shipped adapter, without the scores of its other evaluations", judged)


def _adapter_line(name: str, how: str, judged: Judged) -> dict[str, Any]:
    tuned, fit = judged.as_tuned, judged.cross_fit
    return {
        "what": "adapter", "name": name, "how": how, "dev_lists": tuned.utterances, "folds": fit.folds,
        "groups": fit.groups, "evaluations": fit.evaluations, "first_pass_wer": round(tuned.first_pass_wer, 2),
        "wer_as_tuned": round(tuned.rescored_wer, 2), "wer_cross_fitted": round(fit.figures.rescored_wer, 2),
        "p_as_tuned": tuned.probability_of_improvement, "p_cross_fitted": fit.figures.probability_of_improvement,
        "published": int(is_proven(fit.figures)),
    }  # fmt: skip


def main() -> None:
    """Trains what is asked for, measures noise and adapters, and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", nargs="+", choices=tuple(FLAGS), default=[], metavar="NAME", help=", ".join(FLAGS))
    parser.add_argument(
        "--adapters", nargs="*", choices=tuple(FLAGS), default=list(FLAGS), metavar="NAME",
        help="adapters to measure (default: all); without a name none",
    )  # fmt: skip
    parser.add_argument("--source", type=Path, metavar="DIR", help="the lists of --train")
    parser.add_argument("--pocketsphinx-lists", type=Path, default=CACHE / "pocketsphinx-lists", metavar="FOLDER")
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args()
    if args.source is None and set(args.train) - {"pocketsphinx"}:
        parser.error("--train needs --source DIR")
    for name in args.train:
        train(name, args.source, args.pocketsphinx_lists, args.cache)
    noise, adapters = [], []
    for line in measure_noise(load_base("rescore-minilm"), args.trials, args.seed):
        noise.append(line)
        print(f"{line['name']} noise: {line['published']} of {line['trials']} published; as tuned on dev: "
              f"{line['published_as_tuned']}", flush=True)  # fmt: skip
    for name in args.adapters:
        measured = measured_adapter(name, args.cache)
        if measured is None:
            print(f"{name}: not measured, train it with --train {name}")
            continue
        adapters.append(measured)
        print(f"{name} ({measured['how']}): dev {measured['first_pass_wer']:.2f} -> {measured['wer_as_tuned']:.2f} as "
              f"tuned, {measured['wer_cross_fitted']:.2f} cross-fitted, P {measured['p_cross_fitted']:.4f} over "
              f"{measured['folds']} folds of {measured['groups']} groups", flush=True)  # fmt: skip
    write_results(args.output, [*noise, *adapters], ("what", "name"))
    false, true = noise[0]["published"], sum(each["published"] for each in adapters)
    print(f"false publications {false} of {args.trials}, true publications {true} of {len(adapters)}")


if __name__ == "__main__":
    main()

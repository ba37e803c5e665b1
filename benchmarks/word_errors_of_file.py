"""Prints word error rates of a file written by lorb-rescore, for all lists and for references not in train.

    python benchmarks/word_errors_of_file.py ORIGINAL RESCORED [--train FILE...]

Prints a Markdown table with paired bootstrap intervals. With --train, a second row leaves out utterances whose
reference is in train, because a model could have memorised them. The first pass is the hypothesis with the highest
score. Lists that were not rescored in full are part of the figures, and are counted on standard error.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from lorb.formats import ListRecord, read_list_records, read_nbest_lists
from lorb.nbest import NBest
from lorb.word_errors import oracle_errors, word_errors
from lorb_adapters.training.evaluation.evaluation import Evaluation


def evaluation(original: list[NBest], rescored: list[NBest]) -> Evaluation:
    """Pairs the lists of both by id. Raises SystemExit if the ids differ."""
    by_id = {nbest.id: nbest for nbest in rescored}
    if by_id.keys() != {nbest.id for nbest in original}:
        raise SystemExit(
            "ORIGINAL and RESCORED have different ids: RESCORED must be lorb-rescore's output for ORIGINAL"
        )
    pairs = [(nbest, by_id[nbest.id], nbest.reference or "") for nbest in original]
    return Evaluation(
        words=np.array([len(reference.split()) for _, _, reference in pairs]),
        first_pass=np.array([word_errors(ref, before.first_pass_text) for before, _, ref in pairs]),
        rescored=np.array([word_errors(ref, after.hypotheses[0].transcript) for _, after, ref in pairs]),
        oracle=np.array([oracle_errors(ref, [h.transcript for h in before.hypotheses]) for before, _, ref in pairs]),
    )


def was_rescored(record: ListRecord) -> bool:
    """Whether lorb-rescore marked the list as rescored in full."""
    provenance = record.fields.get("lorb")
    return isinstance(provenance, dict) and provenance.get("outcome") == "rescored"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("original", type=Path)
    parser.add_argument("rescored", type=Path)
    parser.add_argument("--train", type=Path, nargs="+", default=[])
    args = parser.parse_args()
    original = read_nbest_lists([args.original], require_references=True)
    records = read_list_records([args.rescored], require_references=True)
    incomplete = sum(not was_rescored(record) for record in records)
    if incomplete:
        print(f"{incomplete} of {len(records)} lists were not rescored in full", file=sys.stderr)
    rescored = [record.nbest for record in records]
    parts = {"all": original}
    if args.train:
        train = read_nbest_lists(args.train, require_references=True)
        seen = {(nbest.reference or "").strip() for nbest in train}
        parts["reference not in train"] = [n for n in original if (n.reference or "").strip() not in seen]
    print("| part | utterances | words | first pass | rescored | oracle | oracle gap closed % | change | P |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    wanted = {nbest.id: nbest for nbest in rescored}
    for name, lists in parts.items():
        figures = evaluation(lists, [wanted[nbest.id] for nbest in lists]).figures()
        low, high = figures.change_interval
        print(
            f"| {name} | {figures.utterances:,} | {figures.words:,} | {figures.first_pass_wer:.2f} "
            f"| {figures.rescored_wer:.2f} | {figures.oracle_wer:.2f} | {figures.oracle_gap_closed_percent:.1f} "
            f"| {low:+.2f} to {high:+.2f} | {figures.probability_of_improvement:.4f} |"
        )


if __name__ == "__main__":
    main()

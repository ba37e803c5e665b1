"""Makes the page of Table 8 and its plot."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations
from statistics import fmean

from study.harness.json_lines import write_whole
from study.harness.records import Record, Records
from study.harness.sizes import Size
from study.lists.error_counts import unpacked
from study.pages.markdown import grid
from study.pages.markdown import page as whole_page
from study.statistics.intervals import over_seeds
from study.table8_lora_vs_full.agreement import Agreement, agreement
from study.table8_lora_vs_full.layer_means import by_layer, by_site
from study.table8_lora_vs_full.plot import plot

METHODS = {"lora": "LoRA, rank 8", "full": "full fine-tuning"}
PLOT = "table8.svg"
_CLASSES = {
    "kind": ("substitution", "deletion", "insertion"),
    "part": ("function", "content"),
    "frequency": ("100 or more", "10 to 99", "1 to 9", "not in train"),
}
_CLASS_TITLES = {"kind": "", "part": " word", "frequency": " (times in train)"}


def page(size: Size, records: Records) -> str:
    """Makes the page from the records and writes the plot."""
    compared = _of_one_choice([record for record in records.all() if "seed" in record.key])
    title = "Table 8: weight updates of LoRA and full fine-tuning"
    if not compared:
        return whole_page(title, size, compared)
    write_whole(records.results / PLOT, plot(compared))
    return whole_page(
        title, size, compared, _head(size, compared), _methods(compared), "## By layer", _by_layer(compared),
        f"![Size and effective rank of updates, CKA and attention, by layer]({PLOT})",
        "## By kind of layer", _by_site(compared), *_subspaces(compared, _of_one_choice(records.find(of="seeds"))),
        "## Word errors by class", _words(compared), "## Agreement of rescorers", _agreement(compared),
    )  # fmt: skip


def _head(size: Size, compared: Sequence[Record]) -> str:
    lists = len(unpacked(compared[0].figures["lists"]["first_pass"]))
    missing = size.seeds - len(compared)
    return (
        f"{lists} lists of LibriSpeech's dev; one evaluation on it in each epoch. Both start from the same base and "
        f"head and read the same lists in the same order, without a regulariser. Learning rates: {_rates(compared)}. "
        f"{_certainty(len(compared), missing)}"
    )


def _of_one_choice(found: Sequence[Record]) -> list[Record]:
    """The records with the learning rates of the newest one, because Table 1's choice may have changed."""
    if not found:
        return []
    last = max(found, key=lambda record: str(record.facts["date"]))
    return [record for record in found if all(record.key[name] == last.key[name] for name in METHODS)]


def _certainty(done: int, missing: int) -> str:
    if done == 1:
        return f"One seed ({missing} missing): too few for a claim."
    note = f" ({missing} missing)" if missing else ""
    return f"Means over {done} seeds{note}, in parentheses 95% intervals of Student's t."


def _rates(compared: Sequence[Record]) -> str:
    return ", ".join(f"{title} {compared[0].key[name]:g}" for name, title in METHODS.items())


def _methods(compared: Sequence[Record]) -> str:
    columns = ("", *METHODS.values())
    rows: list[tuple[str, Callable[[Record, str], float], int]] = [
        ("dev WER", lambda record, name: record.figures["runs"][name]["wer"], 2),
        ("parameters trained", lambda record, name: record.figures["runs"][name]["parameters"]["trained"], 0),
        ("update's norm over the weight's, %", lambda record, name: 100 * _mean(record, name, "relative_norm"), 2),
        ("effective rank of an update", lambda record, name: _mean(record, name, "effective_rank"), 1),
        ("energy in its 8 largest directions, %", lambda record, name: 100 * _mean(record, name, "top_energy"), 1),
        ("lists improved", lambda record, name: _num_lists(record, name, -1), 1),
        ("lists worsened", lambda record, name: _num_lists(record, name, 1), 1),
    ]
    first = compared[0].figures["lists"]
    base = f"First pass: WER {100 * unpacked(first['first_pass']).sum() / first['words']:.2f}."
    lines = [
        (title, *(over_seeds([figure(each, name) for each in compared]).text(digits) for name in METHODS))
        for title, figure, digits in rows
    ]
    outside = over_seeds([100 * each.figures["weights"]["outside_linear_layers"] for each in compared])
    note = f"Embeddings, biases and LayerNorms have {outside} % of the norm of full fine-tuning's update."
    return "\n\n".join([grid(columns, lines), f"{base} {note}"])


def _by_layer(compared: Sequence[Record]) -> str:
    def spectra(name: str, figure: str) -> list[float]:
        return _average([by_layer(each.figures["weights"]["spectra"][name], figure) for each in compared])

    def seen(figure: str, pair: str) -> list[float]:
        return _average([each.figures["activations"][figure][pair] for each in compared])

    columns = (
        "layer", "norm % LoRA", "full", "effective rank LoRA", "full", "CKA base-LoRA", "base-full", "LoRA-full",
        "attention bits base-LoRA", "base-full",
    )  # fmt: skip
    parts = [
        [f"{100 * value:.2f}" for value in spectra("lora", "relative_norm")],
        [f"{100 * value:.2f}" for value in spectra("full", "relative_norm")],
        [f"{value:.1f}" for value in spectra("lora", "effective_rank")],
        [f"{value:.0f}" for value in spectra("full", "effective_rank")],
        *([f"{value:.3f}" for value in seen("cka", pair)[1:]] for pair in ("base-lora", "base-full", "lora-full")),
        *([f"{value:.4f}" for value in seen("attention_bits", pair)] for pair in ("base-lora", "base-full")),
    ]
    return grid(columns, [(str(number), *row) for number, row in enumerate(zip(*parts, strict=True), start=1)])


def _by_site(compared: Sequence[Record]) -> str:
    figures = ("relative_norm", "effective_rank", "top_energy")
    spectra = {name: [each.figures["weights"]["spectra"][name] for each in compared] for name in METHODS}
    found = {
        (name, figure): _average_by_name([by_site(of_seed, figure) for of_seed in spectra[name]])
        for name in METHODS
        for figure in figures
    }
    rows = [
        (
            site.replace("attention.self.", "").replace(".dense", ""),
            *(f"{100 * found[name, 'relative_norm'][site]:.2f}" for name in METHODS),
            *(f"{found[name, 'effective_rank'][site]:.1f}" for name in METHODS),
            f"{100 * found['full', 'top_energy'][site]:.1f}",
        )
        for site in found["lora", "relative_norm"]
    ]
    return grid(("site", "norm % LoRA", "full", "effective rank LoRA", "full", "full's energy in 8, %"), rows)


def _subspaces(compared: Sequence[Record], seeds: Sequence[Record]) -> list[str]:
    """The overlap of the strongest directions: between the methods, and between seeds of one method."""

    def row(title: str, found: Sequence[dict[str, float]]) -> tuple[str, ...]:
        names = ("left", "left_by_chance", "right", "right_by_chance")
        return title, *(f"{fmean(each[name] for each in found):.3f}" for name in names)

    rows = [row("LoRA and full, same seed", [each.figures["weights"]["overlap"] for each in compared])]
    for record in seeds:
        rows += [row(f"{METHODS[name]}, two seeds", pairs) for name, pairs in record.figures["overlap"].items()]
    columns = ("overlap of the 8 strongest directions", "outputs", "by chance", "inputs", "by chance")
    return ["## Directions", grid(columns, rows)]


def _words(compared: Sequence[Record]) -> str:
    rows = []
    for by, names in _CLASSES.items():
        for name in names:
            found = {
                method: [each.figures["lists"][method]["words_fixed_and_broken"][by].get(name) for each in compared]
                for method in METHODS
            }
            if not all(map(any, found.values())):
                continue
            before = next(each["before"] for each in found["lora"] if each)
            cells = [
                f"{fmean(each[key] if each else 0 for each in found[method]):.1f}"
                for method in METHODS
                for key in ("fixed", "broken")
            ]
            rows.append((f"{name}{_CLASS_TITLES[by]}", str(before), *cells))
    columns = ("errors by class", "first pass", "fixed by LoRA", "made by LoRA", "fixed by full", "made by full")
    return grid(columns, rows)


def _agreement(compared: Sequence[Record]) -> str:
    """The agreement on lists with more than one text."""
    pairs = {"LoRA and full, same seed": [(each, "lora", each, "full") for each in compared]} | {
        f"{title}, two seeds": [(one, name, other, name) for one, other in combinations(compared, 2)]
        for name, title in METHODS.items()
    }
    rows = []
    for title, of_title in pairs.items():
        found = [_agree(*pair) for pair in of_title]
        if found:
            names = ("same_choice", "fixed_in_common", "broken_in_common")
            shares = [f"{100 * fmean(getattr(each, name) for each in found):.0f}" for name in names]
            rows.append((title, *shares, f"{fmean(each.kappa for each in found):.2f}"))
    columns = ("two rescorers", "same first text, %", "improved by both / by either, %", "worsened, %", "kappa")
    return grid(columns, rows)


def _agree(one: Record, name: str, other: Record, other_name: str) -> Agreement:
    lists = one.figures["lists"]
    has_choice = unpacked(lists["choice"]) > 0
    first = unpacked(lists["first_pass"])[has_choice]
    sides = [record.figures["lists"][of] for record, of in ((one, name), (other, other_name))]
    errors, texts = (
        tuple(unpacked(side[key])[has_choice].tolist() for side in sides) for key in ("errors", "positions")
    )
    return agreement(first.tolist(), (errors[0], errors[1]), (texts[0], texts[1]))


def _num_lists(record: Record, name: str, sign: int) -> int:
    """The number of lists improved (sign -1) or worsened (1)."""
    lists = record.figures["lists"]
    change = unpacked(lists[name]["errors"]) - unpacked(lists["first_pass"])
    return int((change * sign > 0).sum())


def _mean(record: Record, name: str, figure: str) -> float:
    """The mean of a figure over all linear layers."""
    return fmean(site[figure] for site in record.figures["weights"]["spectra"][name].values())


def _average(of_seeds: Sequence[Sequence[float]]) -> list[float]:
    return [fmean(values) for values in zip(*of_seeds, strict=True)]


def _average_by_name(of_seeds: Sequence[dict[str, float]]) -> dict[str, float]:
    total: Counter[str] = Counter()
    for each in of_seeds:
        total.update(each)
    return {name: value / len(of_seeds) for name, value in total.items()}

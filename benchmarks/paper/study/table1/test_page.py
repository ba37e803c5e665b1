"""Makes the page of Table 1 on the test sets."""

from collections.abc import Sequence

from study.harness.records import Record, Records
from study.harness.sizes import Size
from study.lists.error_counts import SetCounts
from study.pages.markdown import grid
from study.pages.markdown import page as whole_page
from study.pages.rows import change_text, errors, matching, wer
from study.statistics.intervals import Pair, pooled_difference
from study.training.methods import FULL, methods_of

_TEST = "test"
_COLUMNS = ("domain", "method", "first pass", "test WER", "minus full fine-tuning", "oracle", "lists", "seeds")
_WORDS = """The chosen runs of Table 1 on test lists, with weights and margins tuned on dev. WER in per cent, pooled,
mean over seeds with Student's interval. Minus full fine-tuning: paired difference, negative is better; the interval is
over lists and seeds."""


def page(size: Size, records: Records) -> str:
    """Makes the page: a row for each domain and method, and mean differences from full fine-tuning."""
    done, results = list(records.all()), records.results
    lines, pairs = [], dict[str, list[Pair]]()
    for domain in size.domains:
        full = matching(done, domain=domain, method=FULL.name)
        for method in methods_of(size):
            mine = matching(done, domain=domain, method=method.name)
            if not mine:
                continue
            counts = SetCounts.read(results, mine[0].figures[_TEST]["set"])
            compared = [] if method is FULL or not full else [_pair(mine, full, counts)]
            pairs.setdefault(method.title, []).extend(compared)
            first_pass, oracle = (f"{counts.wer(each):.2f}" for each in (counts.first_pass, counts.oracle))
            lines.append((
                domain, method.title, first_pass, wer(mine, _TEST), _difference(compared), oracle,
                f"{len(counts.words):,}", str(len(mine)),
            ))  # fmt: skip
    for title, parts in pairs.items():
        if len(parts) > 1:
            lines.append(("mean of domains", title, "", "", _difference(parts), "", "", ""))
    return whole_page("Table 1: test", size, done, _WORDS, grid(_COLUMNS, lines) if lines else "")


def _pair(ours: Sequence[Record], theirs: Sequence[Record], counts: SetCounts) -> Pair:
    return errors(ours, _TEST), errors(theirs, _TEST), counts.words


def _difference(parts: Sequence[Pair]) -> str:
    return change_text(pooled_difference(parts)) if parts else ""

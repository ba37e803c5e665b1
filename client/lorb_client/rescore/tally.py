"""Tally: counts of a run of lorb-rescore (outcomes, changed lists, word errors), and its table."""

from collections import Counter
from dataclasses import dataclass, field

from lorb.nbest import NBest
from lorb.ranked import Ranked
from lorb.word_errors import WordErrorRate, oracle_errors


@dataclass(slots=True)
class Tally:
    """Counts over the lists of a run.

    Attributes:
        num_lists: number of lists.
        num_changed: number of lists whose best text differs from the first pass.
        num_truncated: number of lists with a text too long for the model.
        outcomes: number of lists by outcome and fallback reason.
        adapters: number of lists by adapter version.
        first_pass: word error rate of the first pass, over lists with references.
        rescored: word error rate after rescoring, over the same lists.
        oracle: word error rate of the best hypothesis of each list, over the same lists.
    """

    num_lists: int = 0
    num_changed: int = 0
    num_truncated: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    adapters: Counter[str] = field(default_factory=Counter)
    first_pass: WordErrorRate = field(default_factory=WordErrorRate)
    rescored: WordErrorRate = field(default_factory=WordErrorRate)
    oracle: WordErrorRate = field(default_factory=WordErrorRate)

    def add(self, nbest: NBest, ranked: Ranked) -> None:
        """Adds one list and its result."""
        before = nbest.hypotheses[0].transcript
        after = ranked.hypotheses[0].transcript
        self.num_lists += 1
        self.num_changed += before.split() != after.split()
        self.num_truncated += any(hypothesis.truncated for hypothesis in ranked.hypotheses)
        reason = f" ({ranked.fallback_reason.value})" if ranked.fallback_reason else ""
        self.outcomes[f"{ranked.outcome.value}{reason}"] += 1
        if ranked.adapter is not None:
            self.adapters[f"{ranked.adapter.domain} {ranked.adapter.version}"] += 1
        if nbest.reference is not None:
            self._add_errors(nbest, nbest.reference, before, after)

    def lines(self) -> list[str]:
        """Returns the lines of the table. With references, the last line is machine-readable."""
        lines = [
            f"{'lists':12}{self.num_lists:>9}   changed {self.num_changed}",
            f"{'outcomes':12}{_counted(self.outcomes)}",
            f"{'adapters':12}{_counted(self.adapters) or 'none'}",
        ]
        if self.num_truncated:
            lines.append(f"{'truncated':12}{self.num_truncated:>9}   lists with a text too long for the model")
        return lines + self._error_lines() if self.first_pass.utterances else lines

    def _add_errors(self, nbest: NBest, reference: str, before: str, after: str) -> None:
        transcripts = [hypothesis.transcript for hypothesis in nbest.hypotheses]
        self.first_pass += WordErrorRate.of(reference, before)
        self.rescored += WordErrorRate.of(reference, after)
        self.oracle += WordErrorRate.from_errors(reference, oracle_errors(reference, transcripts))

    def _error_lines(self) -> list[str]:
        rates = {"first pass": self.first_pass, "rescored": self.rescored, "oracle": self.oracle}
        return [
            f"{'references':12}{self.first_pass.utterances:>9}   words {self.first_pass.words}",
            "",
            f"{'':12}{'WER %':>9}{'errors':>9}",
            *(f"{name:12}{rate.percent:>9.2f}{rate.errors:>9}" for name, rate in rates.items()),
            "",
            f"WER first-pass {self.first_pass.percent:.2f} rescored {self.rescored.percent:.2f} "
            f"oracle {self.oracle.percent:.2f}",
        ]


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counter.most_common())

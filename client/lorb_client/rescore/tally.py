"""Tally: counts of a run of lorb-rescore (outcomes, changed lists, word errors), and its table."""

from collections import Counter
from dataclasses import dataclass, field

from lorb.nbest import NBest
from lorb.ranked import FallbackReason, Outcome, Ranked
from lorb.word_errors import WordErrorRate, oracle_errors

MAX_INCOMPLETE_SHARE = 0.01  # with more lists that were not rescored in full, a word error rate misleads
_NO_TIME_OR_ROOM = (FallbackReason.DEADLINE, FallbackReason.QUEUE_FULL)


@dataclass(slots=True)
class Tally:
    """Counts over the lists of a run.

    Attributes:
        num_lists: number of lists.
        num_changed: number of lists whose best text differs from the first pass.
        num_retried: number of lists that were sent again, because the server had no time or room.
        num_truncated: number of lists with a text too long for the model.
        incomplete: number of lists that were not rescored in full, by fallback reason. An outcome of a newer server,
            Outcome.UNKNOWN, counts as not rescored in full.
        outcomes: number of lists by outcome and fallback reason.
        adapters: number of lists by adapter version.
        first_pass: word error rate of the first pass, the best by score, over lists with references.
        rescored: word error rate after rescoring, over the same lists.
        oracle: word error rate of the best hypothesis of each list, over the same lists.
        num_incomplete_rates: number of lists with references that were not rescored in full.
    """

    num_lists: int = 0
    num_changed: int = 0
    num_retried: int = 0
    num_truncated: int = 0
    incomplete: Counter[FallbackReason | None] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    adapters: Counter[str] = field(default_factory=Counter)
    first_pass: WordErrorRate = field(default_factory=WordErrorRate)
    rescored: WordErrorRate = field(default_factory=WordErrorRate)
    oracle: WordErrorRate = field(default_factory=WordErrorRate)
    num_incomplete_rates: int = 0

    def add_retry(self) -> None:
        """Counts a list that is sent again."""
        self.num_retried += 1

    def add(self, nbest: NBest, ranked: Ranked) -> None:
        """Adds one list and its result."""
        before = nbest.first_pass_text
        after = ranked.hypotheses[0].transcript
        is_incomplete = ranked.outcome is not Outcome.RESCORED
        self.num_lists += 1
        self.incomplete[ranked.fallback_reason] += is_incomplete
        self.num_changed += before.split() != after.split()
        self.num_truncated += any(hypothesis.truncated for hypothesis in ranked.hypotheses)
        reason = f" ({ranked.fallback_reason.value})" if ranked.fallback_reason else ""
        self.outcomes[f"{ranked.outcome.value}{reason}"] += 1
        if ranked.adapter is not None:
            self.adapters[f"{ranked.adapter.domain} {ranked.adapter.version}"] += 1
        if nbest.reference is not None:
            self.num_incomplete_rates += is_incomplete
            self._add_errors(nbest, nbest.reference, before, after)

    @property
    def num_incomplete(self) -> int:
        """Number of lists that were not rescored in full."""
        return self.incomplete.total()

    @property
    def is_incomplete(self) -> bool:
        """Whether more than MAX_INCOMPLETE_SHARE of the lists were not rescored in full."""
        return self.num_incomplete > MAX_INCOMPLETE_SHARE * self.num_lists

    def advice(self) -> str:
        """Returns what to do about the lists that were not rescored in full, by reason; empty if there are none."""
        no_time_or_room = sum(self.incomplete[reason] for reason in _NO_TIME_OR_ROOM)
        invalid = self.incomplete[FallbackReason.INVALID_SCORE]
        unknown = self.num_incomplete - no_time_or_room - invalid
        more_time = "raise --timeout-seconds, lower --concurrency, or use a faster or less busy server"
        advice = (
            (no_time_or_room, f"without time or room: {more_time}"),
            (invalid, "with scores that are not finite: roll the adapter back, or train it again"),
            (unknown, "for a reason that only newer releases know: install the client of the server's release"),
        )
        return "; ".join(f"{count} {text}" for count, text in advice if count)

    def lines(self) -> list[str]:
        """Returns the lines of the table.

        With references, the last line is machine-readable. It ends with the number of lists that were not rescored in
        full, if there are any.
        """
        lines = [
            f"{'lists':12}{self.num_lists:>9}   changed {self.num_changed}",
            f"{'outcomes':12}{_counted(self.outcomes)}",
            f"{'adapters':12}{_counted(self.adapters) or 'none'}",
        ]
        if self.num_retried:
            lines.append(f"{'retried':12}{self.num_retried:>9}   lists that the server first had no time or room for")
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
        total, incomplete = self.first_pass.utterances, self.num_incomplete_rates
        return [
            f"{'references':12}{total:>9}   words {self.first_pass.words}",
            "",
            f"{'':12}{'WER %':>9}{'errors':>9}",
            *(f"{name:12}{rate.percent:>9.2f}{rate.errors:>9}" for name, rate in rates.items()),
            "",
            f"WER first-pass {self.first_pass.percent:.2f} rescored {self.rescored.percent:.2f} "
            f"oracle {self.oracle.percent:.2f}"
            + (f" ({incomplete} of {total} lists not rescored in full)" if incomplete else ""),
        ]


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counter.most_common())

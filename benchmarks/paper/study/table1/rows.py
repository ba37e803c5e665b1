"""Selects the rows of Table 1: runs with the chosen learning rate, and their errors on own and other domains."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from study.harness.records import Record, Records
from study.harness.sizes import Size
from study.lists.error_counts import SetCounts, unpacked
from study.training.learning_rates import chosen_records
from study.training.methods import METHODS

_RATES = {method.name: method.rates for method in METHODS}


@dataclass(frozen=True, slots=True)
class Rows:
    """The records of Table 1, read once."""

    size: Size
    results: Path
    records: tuple[Record, ...]

    @classmethod
    def read(cls, size: Size, records: Records) -> "Rows":
        """Reads the records of a table."""
        return cls(size, records.results, tuple(records.all()))

    @property
    def domains(self) -> tuple[str, ...]:
        """The names of the domains."""
        return self.size.domains

    def of(self, domain: str, method: str) -> list[Record]:
        """The records of a domain and method."""
        return [each for each in self.records if each.has(domain=domain, method=method)]

    def chosen(self, domain: str, method: str) -> list[Record]:
        """The records with the chosen learning rate, by seed."""
        return chosen_records(self.of(domain, method), _RATES[method][: self.size.rates])

    def at_home(self, record: Record) -> tuple[np.ndarray, np.ndarray]:
        """Word errors and reference words of the own dev set, [lists] each."""
        return self._errors([record.figures["dev"]])

    def elsewhere(self, record: Record) -> tuple[np.ndarray, np.ndarray]:
        """Word errors with the own weight and reference words of the other domains' dev sets, [lists] each."""
        return self._errors([each["own_weight"] for each in record.figures["elsewhere"].values()])

    def elsewhere_fitted(self, record: Record) -> tuple[np.ndarray, np.ndarray]:
        """Word errors with a weight fitted there and reference words of the other domains' dev sets, [lists] each."""
        return self._errors([each["weight_fitted_there"] for each in record.figures["elsewhere"].values()])

    def set_counts(self, name: str) -> SetCounts:
        """The counts of a set before rescoring."""
        return SetCounts.read(self.results, name)

    def _errors(self, sets: Sequence[dict[str, str]]) -> tuple[np.ndarray, np.ndarray]:
        errors = np.concatenate([unpacked(each["errors"]) for each in sets])
        words = np.concatenate([self.set_counts(each["set"]).words for each in sets])
        return errors, words

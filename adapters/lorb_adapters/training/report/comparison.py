"""Several runs side by side: what was set differently, and what came of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase

from lorb.errors import InvalidInput
from lorb_adapters.training.report.saved_report import REPORT_JSON, SavedReport, read_report
from lorb_adapters.training.report.saved_set import SetFigures

_VERSIONS = "versions"  # the folder in a store that holds a domain's versions


@dataclass(frozen=True, slots=True)
class Section:
    """Rows of one table: the name of what is told, and its text for each run."""

    title: str
    rows: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs by the order in which they were given.

    Attributes:
        names: of the runs, no two alike.
    """

    names: tuple[str, ...]
    runs: tuple[SavedReport, ...]

    @classmethod
    def read(cls, paths: Sequence[Path]) -> "Comparison":
        """Reads a report for each path; raises InvalidInput for the first that is none."""
        if len(paths) > len(ascii_uppercase):
            raise InvalidInput(f"{len(paths)} runs are too many for one table: give at most 26", field="run")
        return cls(_names(paths), tuple(map(read_report, paths)))

    @property
    def labels(self) -> tuple[str, ...]:
        """A letter for each run, as plots name it."""
        return tuple(ascii_uppercase[: len(self.runs)])

    @property
    def set_names(self) -> tuple[str, ...]:
        """Every set that some run was measured on."""
        return tuple(dict.fromkeys(name for run in self.runs for name in run.sets))

    def having(self, set_name: str) -> list[tuple[int, SetFigures]]:
        """The runs, by position, that were measured on a set."""
        return [(i, run.sets[set_name]) for i, run in enumerate(self.runs) if set_name in run.sets]

    def sections(self) -> list[Section]:
        """All that is told, as text."""
        settings = self._settings()
        differing = tuple((name, values) for name, values in settings if len(set(values)) > 1)
        return [
            Section("settings that differ", differing or (("none", ("",) * len(self.runs)),)),
            *(self._set_section(name) for name in self.set_names),
            Section("costs", self._costs()),
        ]

    def notices(self) -> list[str]:
        """What makes figures incomparable."""
        notices = []
        for name in self.set_names:
            lists = {
                (figures.utterances, figures.words, round(figures.first_pass_wer, 6), round(figures.oracle_wer, 6))
                for _, figures in self.having(name)
            }
            if len(lists) > 1:
                notices.append(f"{name} is not the same set in all runs: its word error rates do not compare")
        return notices

    def _settings(self) -> list[tuple[str, tuple[str, ...]]]:
        names = dict.fromkeys(name for run in self.runs for name in run.config)
        return [
            self._row("domain", lambda run: run.domain),
            self._row("base", lambda run: f"{run.base_name} {run.base_fingerprint[:12]}"),
            *(
                (name.replace("_", " ").replace(".", ": "), tuple(run.config.get(name, "") for run in self.runs))
                for name in names
            ),
            self._row("lists trained on", lambda run: f"{run.list_counts.get('trained on', 0):,}"),
            self._row("train and dev files", lambda run: ", ".join(f"{n} {d[:8]}" for n, d in run.data_sha256.items())),
        ]

    def _set_section(self, name: str) -> Section:
        here = dict(self.having(name))

        def row(title: str, text: Callable[[SetFigures], str]) -> tuple[str, tuple[str, ...]]:
            return title, tuple(text(here[i]) if i in here else "" for i in range(len(self.runs)))

        return Section(
            name,
            (
                row("utterances", lambda each: f"{each.utterances:,}"),
                row("first pass, WER %", lambda each: f"{each.first_pass_wer:.2f}"),
                row("rescored, WER %", lambda each: f"{each.rescored_wer:.2f}"),
                row("change, 95% interval", lambda each: f"{each.low:+.2f} to {each.high:+.2f}"),
                row("recovered gap, %", lambda each: f"{each.recovered_gap_percent:.1f}"),
                row("fixed, broken", lambda each: f"{each.lists_fixed:,}, {each.lists_broken:,}"),
                row("oracle, WER %", lambda each: f"{each.oracle_wer:.2f}"),
            ),
        )

    def _costs(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        return (
            self._row("parameters trained", lambda run: f"{run.num_trained_parameters:,}"),
            self._row("in % of the base", lambda run: f"{run.trained_percent:.2f}"),
            self._row("size, bytes", lambda run: f"{run.adapter_bytes:,}"),
            self._row("steps of what was kept", lambda run: f"{run.num_steps:,}"),
            self._row("minutes", lambda run: f"{run.train_seconds / 60:.1f}"),
            self._row("tokens a second", lambda run: f"{run.tokens_per_second:,.0f}"),
            self._row("peak memory, MiB", lambda run: f"{run.peak_memory_bytes / 2**20:,.0f}"),
            self._row("weight", lambda run: f"{run.weight:.3f}"),
            self._row("posterior scale", lambda run: f"{run.posterior_scale:.3f}"),
        )

    def _row(self, title: str, text: Callable[[SavedReport], str]) -> tuple[str, tuple[str, ...]]:
        return title, tuple(map(text, self.runs))


def _names(paths: Sequence[Path]) -> tuple[str, ...]:
    """Short names, or where two are alike the paths as given; the same path twice is numbered."""
    names = [_name(path) for path in paths]
    names = [str(path) if names.count(name) > 1 else name for name, path in zip(names, paths, strict=True)]
    return tuple(f"{name} #{i + 1}" if names.count(name) > 1 else name for i, name in enumerate(names))


def _name(path: Path) -> str:
    whole = path.absolute()
    folder = whole.parent if whole.name == REPORT_JSON else whole
    if folder.parent.name == _VERSIONS:
        return f"{folder.parent.parent.name}@{folder.name}"
    return folder.name

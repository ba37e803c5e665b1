"""Compares runs: the settings that differ, the figures of each set, and the costs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase

from lorb.errors import InvalidInput
from lorb_adapters.training.evaluation.run_difference import RunDifference
from lorb_adapters.training.evaluation.set_figures import SetFigures
from lorb_adapters.training.report.report import REPORT_JSON, Report, read_report

_VERSIONS = "versions"  # the folder of a domain's versions in a store


@dataclass(frozen=True, slots=True)
class Section:
    """A table of a comparison; each row has a name and one text for each run."""

    title: str
    rows: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs in the order in which they were given; each is also compared with the first one.

    Attributes:
        names: a unique name for each run.
        differences: by the name of a set and the number of a run, the run's change from the first run on shared lists.
        not_compared: one text for each set of a run that cannot be compared with the first run.
    """

    names: tuple[str, ...]
    runs: tuple[Report, ...]
    differences: dict[str, dict[int, RunDifference]]
    not_compared: tuple[str, ...]

    @classmethod
    def read(cls, paths: Sequence[Path]) -> "Comparison":
        """Reads the report at each path; raises InvalidInput for the first report that cannot be read."""
        if len(paths) > len(ascii_uppercase):
            raise InvalidInput(f"{len(paths)} runs are too many for one table: give at most 26", field="run")
        first, *others = runs = tuple(map(read_report, paths))
        differences: dict[str, dict[int, RunDifference]] = {}
        not_compared = []
        for i, other in enumerate(others, start=1):
            for name in (each for each in first.figures if each in other.figures):
                try:
                    differences.setdefault(name, {})[i] = _difference(first, other, name)
                except InvalidInput as error:
                    label = ascii_uppercase[i]
                    not_compared.append(f"{name}: {label} is not compared with A: {error.message}")
        return cls(_unique_names(paths), runs, differences, tuple(not_compared))

    @property
    def labels(self) -> tuple[str, ...]:
        """A letter for each run, used in plots."""
        return tuple(ascii_uppercase[: len(self.runs)])

    @property
    def set_names(self) -> tuple[str, ...]:
        """The names of all sets that at least one run was evaluated on."""
        return tuple(dict.fromkeys(name for run in self.runs for name in run.figures))

    def runs_with(self, set_name: str) -> list[tuple[int, str, SetFigures]]:
        """Returns (number, label, figures) of each run that was evaluated on the set."""
        labelled = zip(self.labels, self.runs, strict=True)
        return [(i, label, run.figures[set_name]) for i, (label, run) in enumerate(labelled) if set_name in run.figures]

    def sections(self) -> list[Section]:
        """Returns a section with the settings that differ, a section for each set, and a section with the costs."""
        settings = self._settings()
        differing = tuple((name, values) for name, values in settings if len(set(values)) > 1)
        return [
            Section("settings that differ", differing or (("none", ("",) * len(self.runs)),)),
            *(self._set_section(name) for name in self.set_names),
            Section("costs", self._costs()),
        ]

    def warnings(self) -> list[str]:
        """Returns one text for each set whose figures cannot be compared."""
        warnings = []
        for name in self.set_names:
            different = {
                (figures.utterances, figures.words, round(figures.first_pass_wer, 6), round(figures.oracle_wer, 6))
                for _, _, figures in self.runs_with(name)
            }
            if len(different) > 1:
                warnings.append(f"{name} is not the same set in all runs: its word error rates cannot be compared")
        return [*warnings, *self.not_compared]

    def _settings(self) -> list[tuple[str, tuple[str, ...]]]:
        settings = [run.settings for run in self.runs]
        names = dict.fromkeys(name for each in settings for name in each)
        return [
            self._row("domain", lambda run: run.domain),
            self._row("base", lambda run: f"{run.base.name} {run.base.fingerprint[:12]}"),
            *(
                (name.replace("_", " ").replace(".", ": "), tuple(each.get(name, "") for each in settings))
                for name in names
            ),
            self._row("lists trained on", lambda run: f"{run.list_counts.get('trained on', 0):,}"),
            self._row("train and dev files", lambda run: ", ".join(f"{n} {d[:8]}" for n, d in run.data_sha256.items())),
        ]

    def _set_section(self, name: str) -> Section:
        by_run = {i: figures for i, _, figures in self.runs_with(name)}

        def row(title: str, text: Callable[[SetFigures], str]) -> tuple[str, tuple[str, ...]]:
            return title, tuple(text(by_run[i]) if i in by_run else "" for i in range(len(self.runs)))

        return Section(
            name,
            (
                row("utterances", lambda each: f"{each.utterances:,}"),
                row("first pass, WER %", lambda each: f"{each.first_pass_wer:.2f}"),
                row("rescored, WER %", lambda each: f"{each.rescored_wer:.2f}"),
                row("change, 95% interval", lambda each: "{:+.2f} to {:+.2f}".format(*each.change_interval)),
                row("oracle gap closed, %", lambda each: f"{each.oracle_gap_closed_percent:.1f}"),
                row("improved, worsened", lambda each: f"{each.lists_improved:,}, {each.lists_worsened:,}"),
                row("oracle, WER %", lambda each: f"{each.oracle_wer:.2f}"),
                *self._difference_rows(name),
            ),
        )

    def _difference_rows(self, name: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
        by_run = self.differences.get(name)
        if not by_run:
            return ()

        def row(title: str, text: Callable[[RunDifference], str]) -> tuple[str, tuple[str, ...]]:
            return title, tuple(text(by_run[i]) if i in by_run else "" for i in range(len(self.runs)))

        return (
            row("lists shared with A", lambda each: f"{each.num_shared:,}"),
            row("change from A, WER %", lambda each: f"{each.change:+.2f}"),
            row("change from A, 95% interval", lambda each: f"{each.bootstrap.low:+.2f} to {each.bootstrap.high:+.2f}"),
            row("better than A, P", lambda each: f"{each.bootstrap.probability_of_improvement:.4f}"),
            row("MAPSSWE against A, Z and p", lambda each: f"{each.mapsswe.z:+.2f}, {each.mapsswe.p:.2g}"),
        )

    def _costs(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        return (
            self._row("parameters trained", lambda run: f"{run.parameters.trained:,}"),
            self._row("in % of the base", lambda run: f"{run.parameters.trained_percent:.2f}"),
            self._row("size, bytes", lambda run: f"{run.parameters.adapter_bytes:,}"),
            self._row("steps to the best on dev", lambda run: f"{run.cost.steps:,}"),
            self._row("minutes", lambda run: f"{run.cost.seconds / 60:.1f}"),
            self._row("tokens a second", lambda run: f"{run.cost.tokens_per_second:,.0f}"),
            self._row("peak memory, MiB", lambda run: f"{run.cost.peak_memory_bytes / 2**20:,.0f}"),
            self._row("weight", lambda run: f"{run.ranking.weight:.3f}"),
            self._row("posterior scale", lambda run: f"{run.ranking.posterior_scale:.3f}"),
        )

    def _row(self, title: str, text: Callable[[Report], str]) -> tuple[str, tuple[str, ...]]:
        return title, tuple(map(text, self.runs))


def _difference(first: Report, other: Report, set_name: str) -> RunDifference:
    """Compares two runs on a set. Raises InvalidInput if they cannot be compared."""
    errors = [run.figures[set_name].list_errors for run in (first, other)]
    if True in (first.list_errors_left_out, other.list_errors_left_out):
        raise InvalidInput(
            "a published report leaves out the errors of each list, because there are too many: give the folder of "
            "--report-dir, whose report has them",
            field="run",
        )
    if not all(errors):
        raise InvalidInput("a report of an older LoRB lacks the errors of each list: train again", field="run")
    return RunDifference.of(*errors)


def _unique_names(paths: Sequence[Path]) -> tuple[str, ...]:
    """Returns a short name for each path, or the whole path if several share a short name; equal paths are numbered."""
    names = [_short_name(path) for path in paths]
    names = [str(path) if names.count(name) > 1 else name for name, path in zip(names, paths, strict=True)]
    return tuple(f"{name} #{i + 1}" if names.count(name) > 1 else name for i, name in enumerate(names))


def _short_name(path: Path) -> str:
    """Returns the name of the report's folder, or domain@version if the folder is a version in a store."""
    whole = path.absolute()
    folder = whole.parent if whole.name == REPORT_JSON else whole
    if folder.parent.name == _VERSIONS:
        return f"{folder.parent.parent.name}@{folder.name}"
    return folder.name

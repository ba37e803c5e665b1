"""Detects the format of a file from its first lines, and the format of a folder from its content."""

import re
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path

from lorb.errors import MalformedFile
from lorb.formats.parsing.lines import numbered_lines
from lorb.formats.toolkits.espnet2 import is_espnet2
from lorb.formats.toolkits.kaldi import is_kaldi
from lorb.formats.toolkits.srilm import is_srilm_line

_MAX_LINES = 200  # in pretty-printed JSON a key may follow a long array: sequences_scores follows all texts
_MAX_CHARS = 65_536

# Patterns of keys near the beginning of each format's JSON. A file matches if it has a key for every pattern.
_KEYS: Mapping[str, tuple[str, ...]] = {
    "native": ("hyps",),
    "mlm-scoring": (r"hyp_[0-9]+",),
    "hyporadise": ("input",),
    "espnet1": ("utts",),
    "aws": ("results", "(?:transcripts|segments)"),
    "google": ("results", "alternatives"),
    "azure": ("NBest|nBest|recognizedPhrases|RecognitionStatus",),
    "huggingface": ("sequences_scores|logit_score|lm_score",),
    "vosk": ("alternatives",),
}
# (preferred, other): if both match, the file has the preferred format, whose keys are rarer.
_PREFERRED = {("aws", "google"), ("aws", "vosk"), ("google", "vosk"), ("espnet1", "hyporadise")}

_KALDI_LINE = re.compile(r"[^ \t]+-[1-9][0-9]*(?:[ \t].*)?")
_NEMO_LINE = re.compile(r"[^\t]*\t(?:tensor\(.*\)|[-+.0-9eEinfa]+)")


def detected_format(path: Path, choices: str) -> str:
    """Returns the name of the format of a file or folder.

    `choices` lists the supported formats for the error message.

    Raises:
        MalformedFile: no format or more than one format matches, or `path` is a pipe, which can be read only once.
    """
    if path.is_dir():
        return _single(_folder_formats(path), path, choices)
    if path.exists() and not path.is_file():
        raise MalformedFile(path, 0, f"a pipe can be read only once: give --format, one of {choices}")
    first_lines = [text.rstrip("\r\n") for _, text in islice(numbered_lines(path), _MAX_LINES)]
    is_json = first_lines[0].lstrip()[:1] in ("{", "[")
    names = _json_formats("\n".join(first_lines)[:_MAX_CHARS]) if is_json else _line_formats(first_lines)
    return _single(names, path, choices)


def _folder_formats(path: Path) -> list[str]:
    tests: Mapping[str, Callable[[Path], bool]] = {
        "espnet2": is_espnet2,
        "kaldi": is_kaldi,
        "srilm": _is_srilm_folder,
    }
    return [name for name, test in tests.items() if test(path)]


def _is_srilm_folder(path: Path) -> bool:
    first = min((file for file in path.iterdir() if not file.name.startswith(".")), default=None)
    if first is None or not first.is_file():
        return False
    try:
        return is_srilm_line(next(numbered_lines(first))[1])
    except MalformedFile:
        return False


def _json_formats(head: str) -> list[str]:
    if _has_key(head.partition("\n")[0], "hyps"):
        return ["native"]  # native records may have any other key too
    names = [name for name, keys in _KEYS.items() if all(_has_key(head, key) for key in keys)]
    return [name for name in names if not any((preferred, name) in _PREFERRED for preferred in names)]


def _has_key(head: str, key: str) -> bool:
    return re.search(rf'(?<!\\)"(?:{key})"\s*:', head) is not None


def _line_formats(first_lines: list[str]) -> list[str]:
    whole_lines = first_lines[:-1] or first_lines  # the last line may be truncated
    names = ["srilm"] if is_srilm_line(first_lines[0]) else []
    if all(_KALDI_LINE.fullmatch(line) for line in whole_lines):
        names.append("kaldi")
    if all(_NEMO_LINE.fullmatch(line) for line in whole_lines):
        names.append("nemo")
    return names


def _single(names: list[str], path: Path, choices: str) -> str:
    if len(names) == 1:
        return names[0]
    problem = f"its format may be {' or '.join(names)}" if names else "its format is not recognised"
    raise MalformedFile(path, 0 if path.is_dir() else 1, f"{problem}: give --format, one of {choices}")

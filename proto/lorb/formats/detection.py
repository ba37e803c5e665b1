"""Which format a file or folder has, told by its first lines, or by what a folder holds."""

import re
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path

from lorb.errors import MalformedFile
from lorb.formats.parsing.lines import numbered_lines
from lorb.formats.toolkits.espnet2 import is_espnet2
from lorb.formats.toolkits.kaldi import is_kaldi
from lorb.formats.toolkits.srilm import is_srilm_line

_MAX_LINES = 200  # a pretty-printed ESPnet data.json has its first rec_text below its features' shapes
_MAX_CHARS = 65_536

# Keys that a format's JSON has near its beginning and no other format's has; all of them must be there.
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
# Where both match, the one before ">" it is: its own keys are the rarer.
_RARER = {("aws", "google"), ("aws", "vosk"), ("google", "vosk"), ("espnet1", "hyporadise")}

_KALDI_LINE = re.compile(r"[^ \t]+-[1-9][0-9]*(?:[ \t].*)?")
_NEMO_LINE = re.compile(r"[^\t]*\t(?:tensor\(.*\)|[-+.0-9eEinfa]+)")


def detected_format(path: Path, choices: str) -> str:
    """The format's name.

    Raises:
        MalformedFile: the format is none of those known, or may be more than one; or `path` is a pipe, whose beginning
            the reader would miss. `choices` says what there is.
    """
    if path.is_dir():
        return _only(_folder_formats(path), path, choices)
    if path.exists() and not path.is_file():
        raise MalformedFile(path, 0, f"a pipe can be read once: give --format, one of {choices}")
    head = [text.rstrip("\r\n") for _, text in islice(numbered_lines(path), _MAX_LINES)]
    is_json = head[0].lstrip()[:1] in ("{", "[")
    return _only(_json_formats("\n".join(head)[:_MAX_CHARS]) if is_json else _line_formats(head), path, choices)


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
        return ["native"]  # any other field may stand beside it
    found = [name for name, keys in _KEYS.items() if all(_has_key(head, key) for key in keys)]
    return [name for name in found if not any((rarer, name) in _RARER for rarer in found)]


def _has_key(head: str, key: str) -> bool:
    return re.search(rf'(?<!\\)"(?:{key})"\s*:', head) is not None


def _line_formats(head: list[str]) -> list[str]:
    found = ["srilm"] if is_srilm_line(head[0]) else []
    if all(_KALDI_LINE.fullmatch(line) for line in head[:-1] or head):
        found.append("kaldi")
    if all(_NEMO_LINE.fullmatch(line) for line in head[:-1] or head):
        found.append("nemo")
    return found


def _only(found: list[str], path: Path, choices: str) -> str:
    if len(found) == 1:
        return found[0]
    doubt = f"its format may be {' or '.join(found)}" if found else "its format is not recognised"
    raise MalformedFile(path, 0 if path.is_dir() else 1, f"{doubt}: give --format, one of {choices}")

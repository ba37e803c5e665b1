"""Numbered folders of a tool's output: one for each job, or for each rank."""

import re
from pathlib import Path

from lorb.errors import MalformedFile


def numbered_folders(parent: Path, before: str, after: str = "") -> list[Path]:
    """The folders whose names are a number between `before` and `after`, from 1, in the order of their numbers.

    Raises MalformedFile where a number is missing: a lost job would be a loss of utterances that nobody sees.
    """
    name = re.compile(rf"{re.escape(before)}([1-9][0-9]{{0,8}}){re.escape(after)}")
    matches = ((name.fullmatch(folder.name), folder) for folder in parent.glob(f"{before}*{after}") if folder.is_dir())
    numbered = {int(match[1]): folder for match, folder in matches if match}
    for number in range(1, len(numbered) + 1):
        if number not in numbered:
            raise MalformedFile(
                parent, 0, f"{before}{number}{after} is missing, {before}{max(numbered)}{after} is here"
            )
    return [numbered[number] for number in sorted(numbered)]

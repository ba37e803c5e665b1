"""Generates the page of the commands from their --help at 100 columns."""

import os
import tomllib
from importlib import import_module
from pathlib import Path

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def page() -> str:
    """Returns the page in Markdown."""
    parts = [
        "# Commands",
        "The output of `--help` of each command. [Install](../install.md) lists the extras that the commands need.",
        *(_section(command, entry_point) for command, entry_point in _scripts().items()),
    ]
    return "\n\n".join(parts) + "\n"


def _scripts() -> dict[str, str]:
    scripts: dict[str, str] = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["scripts"]
    return scripts


def _section(command: str, entry_point: str) -> str:
    previous = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"  # argparse reads the width only from the environment
    try:
        text = import_module(entry_point.partition(":")[0]).parser().format_help()
    finally:
        if previous is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = previous
    return f"## {command}\n\n```text\n{text.rstrip()}\n```"

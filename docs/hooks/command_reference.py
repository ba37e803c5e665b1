"""The commands' page: what each prints for --help, at 100 columns."""

import os
import tomllib
from importlib import import_module
from pathlib import Path

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def page() -> str:
    """The page, in Markdown."""
    parts = [
        "# Commands",
        "What each command prints for `--help`. `lorb-rescore`, `lorb-load` and `lorb-health` come with the client, "
        "the others need the extras that [Install](../install.md) names.",
        *(_section(command, place) for command, place in _scripts().items()),
    ]
    return "\n\n".join(parts) + "\n"


def _scripts() -> dict[str, str]:
    scripts: dict[str, str] = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["scripts"]
    return scripts


def _section(command: str, place: str) -> str:
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"  # argparse asks the environment alone
    try:
        text = import_module(place.partition(":")[0]).parser().format_help()
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
    return f"## {command}\n\n```text\n{text.rstrip()}\n```"

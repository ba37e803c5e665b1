"""How a command that trains ends: an exit status, and a line on stderr for whatever stopped it."""

import sys
from collections.abc import Callable
from pathlib import Path

from lorb.errors import LorbError, NotPublished
from lorb_cli.command import needing_extra

USAGE_ERROR, NOT_PUBLISHED, INTERRUPTED = 2, 3, 130


def exit_status(name: str, run: Callable[[], int], *, lost: str, folder: Path) -> int:
    """Runs the command `name`; returns what `run` does, or the status of what it raised.

    lost: what an interrupt says did not come about. folder: the run's, to say how to go on.
    """
    try:
        with needing_extra(name, "train"):
            return run()
    except NotPublished as error:
        status, said = NOT_PUBLISHED, str(error)
    except LorbError as error:
        status, said = USAGE_ERROR, str(error)
    except KeyboardInterrupt:
        status, said = INTERRUPTED, f"interrupted, {lost}{_how_to_go_on(folder)}"
    print(f"{name}: {said}", file=sys.stderr)
    return status


def _how_to_go_on(folder: Path) -> str:
    from lorb_adapters.training.run_folder import TRAINING, RunFolder

    if RunFolder.status(folder) != TRAINING:
        return ""
    return f"; its checkpoints are in {folder}: the same command with --resume goes on from the last"

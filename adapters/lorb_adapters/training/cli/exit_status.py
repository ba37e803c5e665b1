"""Exit statuses of the training commands, and the line on stderr for each way to fail."""

import sys
from collections.abc import Callable
from pathlib import Path

from lorb.errors import LorbError, NotPublished
from lorb_cli.command import require_extra

USAGE_ERROR, NOT_PUBLISHED, INTERRUPTED = 2, 3, 130


def exit_status(name: str, run: Callable[[], int], *, lost: str, folder: Path) -> int:
    """Calls `run` and returns its exit status.

    If `run` raises a LorbError or is interrupted, prints a line on stderr and returns the status for that failure.

    name: the command, printed before the message. lost: the consequence of an interrupt, such as "nothing was
    published". folder: folder of the run; if a run in it can be resumed, the line says how.
    """
    try:
        with require_extra(name, "train"):
            return run()
    except NotPublished as error:
        status, message = NOT_PUBLISHED, str(error)
    except LorbError as error:
        status, message = USAGE_ERROR, str(error)
    except KeyboardInterrupt:
        status, message = INTERRUPTED, f"interrupted, {lost}{_resume_hint(folder)}"
    print(f"{name}: {message}", file=sys.stderr)
    return status


def _resume_hint(folder: Path) -> str:
    from lorb_adapters.training.run_folder import TRAINING, RunFolder

    if RunFolder.status(folder) != TRAINING:
        return ""
    return f"; its checkpoint is in {folder}: repeat the command with --resume to continue"

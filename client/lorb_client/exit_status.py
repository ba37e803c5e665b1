"""Exit statuses of the client's commands."""

from lorb.errors import InvalidInput, LorbError, Unauthenticated, UnknownDomain, UnknownVersion

EXIT_FAILED = 1
EXIT_MISUSED = 2
EXIT_INCOMPLETE = 4  # more than 1 % of the lists were not rescored in full; 3 is the trainer's "not published"
EXIT_INTERRUPTED = 130

# Errors that the caller can correct. argparse also exits with 2 after a wrong argument.
_MISUSES = (InvalidInput, UnknownDomain, UnknownVersion, Unauthenticated)


def exit_status(error: LorbError) -> int:
    """Returns the exit status of a command that ended with `error`."""
    return EXIT_MISUSED if isinstance(error, _MISUSES) else EXIT_FAILED

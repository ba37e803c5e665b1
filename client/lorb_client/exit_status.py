"""The exit statuses of the client's commands."""

from lorb.errors import InvalidInput, LorbError, Unauthenticated, UnknownDomain, UnknownVersion

EXIT_FAILED = 1
EXIT_MISUSED = 2
EXIT_INTERRUPTED = 130

# What the caller can put right, which argparse too answers with 2.
_MISUSES = (InvalidInput, UnknownDomain, UnknownVersion, Unauthenticated)


def status_of(error: LorbError) -> int:
    """The status of a command that `error` ended."""
    return EXIT_MISUSED if isinstance(error, _MISUSES) else EXIT_FAILED

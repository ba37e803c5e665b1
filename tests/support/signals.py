"""Signal handlers for tests of commands."""

import signal
from contextlib import contextmanager


@contextmanager
def default_sigint_handler():
    """Restores Python's default SIGINT handler. Commands started in the body then react to SIGINT.

    A process that ignores SIGINT, such as a background job of a shell, starts children that ignore it too.
    """
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)

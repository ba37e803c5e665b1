"""The limit on the process's open files, which each connection counts towards."""

import resource

_MAXIMUM_FILES = 65_536  # 1,000 times what a server of a few hundred callers opens
_RESERVED_FILES = 256  # for the admin port, the metrics, adapters, credential files, front processes and libraries


def raise_file_limit() -> None:
    """Raises the soft limit of this process, and of processes that it starts later, towards the hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MAXIMUM_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAXIMUM_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def maximum_connections() -> int:
    """How many connections the port for calls may hold, so that the process can still open other files."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = _MAXIMUM_FILES if soft == resource.RLIM_INFINITY else min(soft, _MAXIMUM_FILES)
    return max(files - _RESERVED_FILES, files // 2)

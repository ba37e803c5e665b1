"""How many CPU cores this process may use: its affinity, and the quota of its control group."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")


def usable_cores(cgroups: Path = _CGROUPS, own_cgroups: Path = _OWN_CGROUPS) -> int:
    """The number of cores that this process may keep busy; at least 1.

    A quota of 2.5 cores counts as 2: a third thread would be stopped for half of the time, and passes with it.

    cgroups: where the control groups are mounted. own_cgroups: the file that names those of this process.
    """
    quotas = [quota for folder in _folders(cgroups, own_cgroups) if (quota := _quota(folder)) is not None]
    return max(1, int(min([len(os.sched_getaffinity(0)), *quotas])))


def _folders(cgroups: Path, own_cgroups: Path) -> Iterator[Path]:
    """The folders of the control groups that limit this process's CPU time: its own, and the groups around it.

    A container usually sees its own group at the mount's root.
    """
    yield cgroups
    yield cgroups / "cpu"
    try:
        lines = own_cgroups.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = cgroups / "cpu" if controllers else cgroups  # version 2 has one hierarchy, without a list
        relative = PurePosixPath(path.lstrip("/"))
        yield from (mount / group for group in (relative, *relative.parents))


def _quota(folder: Path) -> float | None:
    """The cores that a control group allows; None without a limit. Reads both versions of control groups."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        return float(quota) / float(period) if quota != "max" and float(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None

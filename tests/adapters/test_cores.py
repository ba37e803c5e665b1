"""lorb_adapters.cores: the cores that a process may use."""

import os

import pytest

from lorb_adapters.cores import usable_cores


@pytest.fixture(autouse=True)
def many_cores(monkeypatch):
    """A machine that shows 64 cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))


def write(folder, **files):
    """Writes the files of a control group; a `__` in a name is a point."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)


def cores(root, own=""):
    """The cores of a process in the control groups `own` under `root`."""
    (root / "own").write_text(own)
    return usable_cores(root, root / "own")


def test_without_a_quota_the_affinity_counts(tmp_path):
    """Without control groups, or with groups that limit nothing, all cores of the affinity count."""
    assert cores(tmp_path) == 64
    write(tmp_path, cpu__max="max 100000\n")
    write(tmp_path / "cpu", cpu__cfs_quota_us="-1\n", cpu__cfs_period_us="100000\n")
    assert cores(tmp_path, "0::/\n") == 64


@pytest.mark.parametrize(("quota", "expected"), [("200000", 2), ("250000", 2), ("50000", 1), ("9900000", 64)])
def test_the_quota_of_a_container_counts(tmp_path, quota, expected):
    """A container sees its own group at the root of the mount; a quota is rounded down, but not to 0."""
    write(tmp_path, cpu__max=f"{quota} 100000\n")
    assert cores(tmp_path, "0::/\n") == expected


def test_the_quota_of_a_group_around_the_own_one_counts(tmp_path):
    """The smallest quota counts, in the process's own group or in a group around it."""
    write(tmp_path / "pods" / "one", cpu__max="max 100000\n")
    write(tmp_path / "pods", cpu__max="300000 100000\n")
    assert cores(tmp_path, "0::/pods/one\n") == 3


def test_control_groups_of_version_1_count(tmp_path):
    """The quota of the process's group in the hierarchy `cpu` of version 1 counts."""
    write(tmp_path / "cpu" / "docker" / "one", cpu__cfs_quota_us="200000\n", cpu__cfs_period_us="100000\n")
    write(tmp_path / "memory" / "docker" / "one", cpu__cfs_quota_us="100000\n", cpu__cfs_period_us="100000\n")
    assert cores(tmp_path, "4:memory:/docker/one\n3:cpu,cpuacct:/docker/one\n") == 2


def test_files_that_are_not_as_expected_limit_nothing(tmp_path):
    """A file that is empty or holds other text is as no limit."""
    write(tmp_path, cpu__max="\n")
    write(tmp_path / "cpu", cpu__cfs_quota_us="x", cpu__cfs_period_us="0")
    assert cores(tmp_path, "0::/\n") == 64

"""The build context of the Docker image."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MAX_CONTEXT_BYTES = 50 * 2**20


@pytest.fixture(scope="module")
def context():
    """The files that .dockerignore lets through."""
    docker = pytest.importorskip("docker")
    patterns = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    patterns = [line for line in patterns if line and not line.startswith("#")]
    paths = docker.utils.exclude_paths(str(ROOT), patterns)
    return {path for path in paths if (ROOT / path).is_file()}


def copied():
    """The paths that the Dockerfile copies from the context."""
    lines = re.findall(r"^COPY (?!--from)(?:--\S+ )*(.+)$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    return {source for line in lines for source in line.split()[:-1]}


def test_the_context_has_exactly_what_the_dockerfile_copies(context):
    """.dockerignore lets every copied path through and nothing else, such as environments, tests or secrets."""
    sources = copied()
    for source in sources:
        assert any(path == source or path.startswith(f"{source}/") for path in context), source
    others = {path for path in context if not any(path == one or path.startswith(f"{one}/") for one in sources)}
    assert others <= {".dockerignore", "Dockerfile"}
    assert not [path for path in context if "__pycache__" in path]


def test_the_context_has_every_package_of_the_wheel(context):
    """Each package that pyproject.toml puts into the wheel is in the context with all its modules."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    for package in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / package).rglob("*.py")}
        assert modules
        assert modules <= context


def test_the_context_is_small(context):
    """The files that each build sends to the engine have less than 50 MiB."""
    assert sum((ROOT / path).stat().st_size for path in context) < MAX_CONTEXT_BYTES

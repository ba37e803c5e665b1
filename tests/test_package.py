"""The package as a user gets it: a wheel built from the sdist, installed where the source is not."""

import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

from lorb import __version__
from support.documents.commands import SCRIPTS

ROOT = Path(__file__).parents[1]
PACKAGES = ("lorb", "lorb_cli", "lorb_adapters", "lorb_server", "lorb_client")


def run(*command, cwd):
    """The output of a command that must succeed, away from the source."""
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder with the sdist and the wheel that was made from it, built with what is installed here."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    """The wheel."""
    return built / f"lorb-{__version__}-py3-none-any.whl"


@pytest.fixture(scope="module")
def bin_folder(wheel, tmp_path_factory):
    """The commands of a new environment that has the wheel, and sees the packages installed here but not the source."""
    place = tmp_path_factory.mktemp("installed") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", place, cwd=place.parent)
    python = place / "bin" / "python"
    installing = ("install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", wheel)
    run(sys.executable, "-m", "pip", "--python", python, *installing, cwd=place.parent)
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=place.parent).strip()
    # a plain path: the .pth of the editable install, which lies in that folder, is not read
    (Path(site) / "packages_of_the_tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place / "bin"


def test_the_wheel_has_types_and_the_contract(wheel):
    """All packages say that they are typed; the proto files and the carried base are there, and no other folder is."""
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert {"lorb/v1/rescoring.proto", "lorb/v1/admin.proto", "lorb/v1/rescoring_pb2.pyi"} <= names
    assert "lorb_adapters/bases/rescore-minilm/lorb_delta.safetensors" in names
    templates = {"run.html.j2", "run.md.j2", "comparison.html.j2", "page.css"}
    assert {f"lorb_adapters/training/report/templates/{name}" for name in templates} <= names
    assert "lorb_adapters/pretraining/templates/base.md.j2" in names
    assert {name.partition("/")[0] for name in names} == {*PACKAGES, f"lorb-{__version__}.dist-info"}


def test_the_version_has_one_source(wheel):
    """The wheel's metadata, the commands it installs and the list of changes have the version of lorb.__version__."""
    archive = zipfile.ZipFile(wheel)
    metadata = HeaderParser().parsestr(archive.read(f"lorb-{__version__}.dist-info/METADATA").decode())
    assert metadata["Version"] == __version__
    assert {"serve", "train", "load"} <= set(metadata.get_all("Provides-Extra"))
    assert f"\n## [{__version__}] - " in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_sdist_can_be_tested(built):
    """It carries the tests and the documents beside the source, and no environment."""
    with tarfile.open(built / f"lorb-{__version__}.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "tests/test_package.py", "docs/index.md", "mkdocs.yml", "CHANGELOG.md"} <= names
    assert not any(name.startswith((".venv", "runs", "site")) for name in names)


@pytest.mark.parametrize("command", SCRIPTS)
def test_an_installed_command_runs(bin_folder, command, tmp_path):
    """Each command starts from the wheel and tells the version."""
    assert run(bin_folder / command, "--version", cwd=tmp_path) == f"{command} {__version__}\n"


def test_an_installed_command_helps(bin_folder, tmp_path):
    """The client's help is printed, readers of all formats with it."""
    assert "huggingface" in run(bin_folder / "lorb-rescore", "--help", cwd=tmp_path)


def test_packages_come_from_the_wheel(bin_folder, tmp_path):
    """What the new environment imports is the wheel's code, not this source."""
    script = f"import {', '.join(PACKAGES)}; print(*[m.__file__ for m in ({', '.join(PACKAGES)},)], sep='\\n')"
    files = run(bin_folder / "python", "-c", script, cwd=tmp_path).split()
    assert len(files) == len(PACKAGES)
    assert all(Path(file).is_relative_to(bin_folder.parent) for file in files)

"""The sdist, the wheel built from it, and the commands that the wheel installs."""

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
    """Runs a command in a folder and returns its output. Fails if the command fails."""
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder with the sdist and the wheel built from it, with the installed build tools."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    """The path of the wheel."""
    return built / f"lorb-{__version__}-py3-none-any.whl"


@pytest.fixture(scope="module")
def bin_folder(wheel, tmp_path_factory):
    """The commands of a new environment with the wheel and the dependencies installed here, without the source."""
    venv = tmp_path_factory.mktemp("installed") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=venv.parent)
    python = venv / "bin" / "python"
    installing = ("install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", wheel)
    run(sys.executable, "-m", "pip", "--python", python, *installing, cwd=venv.parent)
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=venv.parent).strip()
    # A path in a .pth file: Python does not read the .pth file of the editable install in that folder.
    (Path(site) / "packages_of_the_tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return venv / "bin"


def test_the_wheel_has_types_proto_files_and_the_base(wheel):
    """The wheel has py.typed of all packages, the proto files, the base and the templates, and no other folders."""
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert {"lorb/v1/rescoring.proto", "lorb/v1/admin.proto", "lorb/v1/rescoring_pb2.pyi"} <= names
    assert "lorb_adapters/bases/rescore-minilm/lorb_delta.safetensors" in names
    templates = {"run.html.j2", "run.md.j2", "comparison.html.j2", "page.css"}
    assert {f"lorb_adapters/training/report/templates/{name}" for name in templates} <= names
    assert "lorb_adapters/pretraining/templates/base.md.j2" in names
    assert {name.partition("/")[0] for name in names} == {*PACKAGES, f"lorb-{__version__}.dist-info"}


def test_the_version_has_one_source(wheel):
    """The metadata of the wheel and the changelog have the version of lorb.__version__."""
    archive = zipfile.ZipFile(wheel)
    metadata = HeaderParser().parsestr(archive.read(f"lorb-{__version__}.dist-info/METADATA").decode())
    assert metadata["Version"] == __version__
    assert {"serve", "train", "load"} <= set(metadata.get_all("Provides-Extra"))
    assert f"\n## [{__version__}] - " in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_sdist_can_be_tested(built):
    """The sdist contains the tests and the documents, and no environment or build output."""
    with tarfile.open(built / f"lorb-{__version__}.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "tests/test_package.py", "docs/index.md", "mkdocs.yml", "CHANGELOG.md"} <= names
    assert not any(name.startswith((".venv", "runs", "site")) for name in names)


@pytest.mark.parametrize("command", SCRIPTS)
def test_an_installed_command_runs(bin_folder, command, tmp_path):
    """Each installed command prints its version."""
    assert run(bin_folder / command, "--version", cwd=tmp_path) == f"{command} {__version__}\n"


def test_an_installed_command_prints_its_help(bin_folder, tmp_path):
    """The help of lorb-rescore names the input formats."""
    assert "huggingface" in run(bin_folder / "lorb-rescore", "--help", cwd=tmp_path)


def test_packages_come_from_the_wheel(bin_folder, tmp_path):
    """The new environment imports the packages of the wheel and not the source."""
    script = f"import {', '.join(PACKAGES)}; print(*[m.__file__ for m in ({', '.join(PACKAGES)},)], sep='\\n')"
    files = run(bin_folder / "python", "-c", script, cwd=tmp_path).split()
    assert len(files) == len(PACKAGES)
    assert all(Path(file).is_relative_to(bin_folder.parent) for file in files)

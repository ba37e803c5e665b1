"""The rooms of each package: which imports which, no circles, and no room too full to look through."""

from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from test_layering import PACKAGES, ROOT, imported

MAXIMUM_MODULES_PER_FOLDER = 15
MAXIMUM_LINES_PER_MODULE = 250

_SHARED_WITH_TRAINING = {
    "atomic_files",
    "cores",
    "threads",
    "json_files",
    "process_memory",
    "text",
    "ranking",
    "lora",
    "encoder",
    "base",
    "model",
    "store",
}

_SHARED_IN_SERVER = {"adapter", "call", "config", "file_limit", "setting", "single_flight", "telemetry", "thread_pool"}

# For each room the rooms of its package that it may import. A room is a folder, or a module beside the folders.
DOORS = {
    "lorb_adapters": {
        "atomic_files": set(),
        "cores": set(),
        "threads": {"cores"},
        "json_files": set(),
        "process_memory": set(),
        "tensor_files": set(),
        "text": {"json_files"},
        "ranking": {"json_files"},
        "lora": {"text"},
        "encoder": {"text", "lora"},
        "base": {"json_files", "text", "lora", "encoder"},
        "model": {"text", "lora", "encoder", "base"},
        "cuda_graphs": {"text", "lora", "encoder", "base", "model"},
        "store": {"atomic_files", "json_files", "tensor_files", "text", "ranking", "lora", "base", "model"},
        "training": _SHARED_WITH_TRAINING,
        "pretraining": _SHARED_WITH_TRAINING | {"training"},
        "cli": {"json_files", "text", "ranking", "lora", "base", "model", "store"},
    },
    "lorb_server": {
        "adapter": set(),
        "file_limit": set(),
        "garbage_collection": set(),
        "setting": set(),
        "single_flight": set(),
        "thread_pool": set(),
        "ready_file": set(),
        "call": {"adapter"},
        "config_checks": {"setting"},
        "settings": {"setting"},
        "config": {"config_checks", "setting", "settings"},
        "telemetry": {"adapter", "call"},
        "engine": _SHARED_IN_SERVER,
        "registry": _SHARED_IN_SERVER,
        "rescoring": _SHARED_IN_SERVER,
        "rpc": _SHARED_IN_SERVER | {"registry", "rescoring"},
        "parts": _SHARED_IN_SERVER | {"engine"},
        "build": _SHARED_IN_SERVER | {"engine", "parts", "registry"},
        "fronts": _SHARED_IN_SERVER | {"garbage_collection", "rpc"},
        "app": _SHARED_IN_SERVER | {"build", "fronts", "garbage_collection", "parts", "ready_file", "rpc"},
        "cli": _SHARED_IN_SERVER | {"app", "garbage_collection"},
    },
}


def modules(package):
    """The dotted name and the file of each module of a package, generated ones left out."""
    root = PACKAGES[package]
    for file in sorted(root.rglob("*.py")):
        if "_pb2" not in file.name:
            parts = file.relative_to(root.parent).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), file


ALL = {name: file for package in PACKAGES for name, file in modules(package)}


def imported_modules(name):
    """The modules of this repository that a module imports, at any depth, type checking included."""
    file = ALL[name]
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    names = imported(file.read_text("utf-8"), package)
    # `from package import module` names both: the package itself is imported only for what its __init__ holds
    submodules = {n for n in names if n in ALL}
    return {n for n in submodules if not any(other.startswith(f"{n}.") for other in submodules)} - {name}


def room(name):
    """The folder or module directly below the package that a module lies in."""
    return name.split(".")[1] if "." in name else ""


def circle(graph):
    """The modules of an import circle, in order, the first again at the end; empty if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_module_imports_itself_by_way_of_others():
    """There is no import circle, neither between rooms nor inside one, imports inside functions included."""
    assert circle({name: imported_modules(name) for name in ALL}) == []


def test_a_circle_is_found():
    """A circle of three modules beside a chain of two is reported whole."""
    found = circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})
    assert sorted(found[1:]) == ["a", "b", "c"]
    assert found[0] == found[-1]


@pytest.mark.parametrize("package", DOORS)
def test_rooms_import_only_what_their_doors_allow(package):
    """Each room imports the rooms that the map names and no others."""
    doors = DOORS[package]
    breaches = {}
    for name in ALL:
        if name.split(".")[0] == package and room(name):
            allowed = doors.get(room(name), set(doors)) | {room(name)}
            others = {n for n in imported_modules(name) if n.split(".")[0] == package and room(n) in doors}
            breaches[name] = sorted(n for n in others if room(n) not in allowed)
    assert {name: others for name, others in breaches.items() if others} == {}


@pytest.mark.parametrize("package", DOORS)
def test_every_room_has_its_doors(package):
    """The map names every room of a package and no other, so that a new or renamed room is thought about."""
    assert {room(name) for name in ALL if name.split(".")[0] == package and room(name)} == set(DOORS[package])


def python_files():
    """All Python files of the packages, tests, examples and benchmarks."""
    folders = ["proto", "adapters", "server", "client", "tests", "examples", "benchmarks"]
    return [f for folder in folders for f in (ROOT / folder).rglob("*.py") if "_pb2" not in f.name]


def test_no_folder_has_more_modules_than_a_reader_takes_in():
    """At most 15 modules lie side by side in a folder, `__init__.py` and `conftest.py` not counted."""
    counts: dict[Path, int] = {}
    for file in python_files():
        if file.name not in ("__init__.py", "conftest.py"):
            counts[file.parent] = counts.get(file.parent, 0) + 1
    assert {str(f.relative_to(ROOT)): n for f, n in counts.items() if n > MAXIMUM_MODULES_PER_FOLDER} == {}


def test_no_module_is_longer_than_a_reader_takes_in():
    """No Python file has more than 250 lines."""
    lines = {str(f.relative_to(ROOT)): len(f.read_text("utf-8").splitlines()) for f in python_files()}
    assert {name: n for name, n in lines.items() if n > MAXIMUM_LINES_PER_MODULE} == {}

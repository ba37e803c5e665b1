"""The packages of lorb_server import each other one way, and no two modules import each other."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "server"
SHARED = {"adapter", "call", "config", "config_checks", "setting", "single_flight", "thread_pool", "telemetry"}
ALLOWED = {
    "telemetry": {"adapter", "call"},
    "engine": SHARED,
    "registry": SHARED,
    "rescoring": SHARED,
    "rpc": SHARED | {"rescoring", "registry"},
    "fronts": SHARED | {"rpc"},
    "build": SHARED | {"engine", "registry"},
    "app": SHARED | {"build", "fronts", "rpc", "ready_file"},
    "cli": SHARED | {"app"},
}


def imports():
    """The modules of lorb_server that each of its modules imports, in functions and for types too."""
    modules = {".".join(file.relative_to(ROOT).with_suffix("").parts): file for file in ROOT.rglob("*.py")}
    imported = {}
    for name, file in modules.items():
        names = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
        imported[name] = names & modules.keys()
    return imported


def room(module):
    """The package or top-level module of lorb_server that a module belongs to."""
    return module.split(".")[1]


@pytest.mark.parametrize("importer", ALLOWED)
def test_a_room_imports_only_the_rooms_below_it(importer):
    """engine, registry and rescoring never import each other; the other rooms import downwards only."""
    edges = {(room(name), room(other)) for name, others in imports().items() for other in others}
    reached = {other for name, other in edges if name == importer} - {importer}
    assert reached, f"lorb_server.{importer} imports nothing: is its name still right?"
    assert reached <= ALLOWED[importer]


def test_no_two_modules_import_each_other():
    """No module reaches itself by following imports."""
    graph = imports()

    def reachable(start):
        found, waiting = set(), [start]
        while waiting:
            new = graph[waiting.pop()] - found
            found |= new
            waiting += new
        return found

    assert [name for name in graph if name in reachable(name)] == []

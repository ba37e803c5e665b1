"""The packages depend on each other one way only, and the client needs no torch."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "lorb": ROOT / "proto" / "lorb",
    "lorb_cli": ROOT / "proto" / "lorb_cli",
    "lorb_adapters": ROOT / "adapters" / "lorb_adapters",
    "lorb_server": ROOT / "server" / "lorb_server",
    "lorb_client": ROOT / "client" / "lorb_client",
}
HEAVY = {"torch", "transformers", "peft", "safetensors", "tokenizers", "accelerate"}
FORBIDDEN = {
    "lorb": {"lorb_cli", "lorb_adapters", "lorb_server", "lorb_client"} | HEAVY,
    "lorb_cli": {"lorb_adapters", "lorb_server", "lorb_client", "grpc", "grpc_status"} | HEAVY,
    "lorb_adapters": {
        "lorb_server",
        "lorb_client",
        "lorb.wire",
        "lorb.error_status",
        "lorb.v1",
        "grpc",
        "grpc_status",
    },
    "lorb_server": {"lorb_client", "lorb_adapters.training"},
    "lorb_client": {"lorb_adapters", "lorb_server"} | HEAVY,
}


def imported(source, package):
    """The dotted names that Python source of `package` imports, at any depth, relative ones resolved."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return names


def breaches(names, forbidden):
    """The names that are forbidden or lie inside something forbidden."""
    return {name for name in names if any(name == no or name.startswith(f"{no}.") for no in forbidden)}


def sources(package):
    """(dotted package, file) of every module."""
    root = PACKAGES[package]
    files = sorted(root.rglob("*.py"))
    assert files, f"no source in {root}"
    return [(".".join(file.relative_to(root.parent).parent.parts), file) for file in files]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_nothing_from_above(package):
    """Adapters know the contract, the server both, the client the contract alone; torch and grpc stay put."""
    found = {
        str(file.relative_to(ROOT)): breaches(imported(file.read_text(), dotted), FORBIDDEN[package])
        for dotted, file in sources(package)
    }
    assert {file: names for file, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import lorb_adapters.training.cli.train_adapter as cli", {"lorb_adapters.training.cli.train_adapter"}),
        ("from lorb_adapters import training", {"lorb_adapters.training"}),
        ("def f():\n    from torch import nn", {"torch", "torch.nn"}),
        ("from .training import cli", {"lorb_adapters.training", "lorb_adapters.training.cli"}),
        ("from . import training", {"lorb_adapters.training"}),
        ("import torchaudio", set()),
    ],
)
def test_the_check_sees_every_kind_of_import(source, names):
    """Aliases, names from packages, relative imports and imports inside functions; not mere prefixes."""
    assert breaches(imported(source, "lorb_adapters"), {"torch", "lorb_adapters.training"}) == names

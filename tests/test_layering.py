"""The packages import each other in one direction only, and the client does not import torch."""

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
    """Returns the dotted names that Python source of `package` imports at any depth; resolves relative imports."""
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
    """Returns the names that are forbidden or inside a forbidden package."""
    return {name for name in names if any(name == no or name.startswith(f"{no}.") for no in forbidden)}


def sources(package):
    """Returns (dotted package, file) of every module."""
    root = PACKAGES[package]
    files = sorted(root.rglob("*.py"))
    assert files, f"no source in {root}"
    return [(".".join(file.relative_to(root.parent).parent.parts), file) for file in files]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_nothing_forbidden(package):
    """No module imports a package or library that is forbidden for its own package."""
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
def test_every_kind_of_import_is_found(source, names):
    """Aliases, names from packages, relative imports and imports in functions count; equal prefixes do not."""
    assert breaches(imported(source, "lorb_adapters"), {"torch", "lorb_adapters.training"}) == names

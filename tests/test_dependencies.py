"""Each extra declares exactly the distributions that its shipped modules import."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PACKAGES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
BASE = "base"

# The extra that a module needs, by the longest matching prefix of its dotted name.
EXTRA_OF_MODULE = {
    "lorb": BASE,
    "lorb_cli": BASE,
    "lorb_client": BASE,
    "lorb_client.load": "load",
    "lorb_server": "serve",
    "lorb_server.telemetry.tracing": "otel",
    "lorb_adapters": "serve",
    "lorb_adapters.store.signing": "signing",
    "lorb_adapters.training": "train",
    "lorb_adapters.pretraining": "train",
}
# Distributions that an extra declares and another library imports.
IMPORTED_BY_OTHERS = {
    "s3": {"s3fs"},  # fsspec loads it for s3:// URLs
}
# Extras for work on the repository; no shipped module imports anything from them.
REPOSITORY_EXTRAS = {"bench", "examples", "docs", "dev"}

# The distribution of an imported name if the names differ; the longest matching prefix counts.
DISTRIBUTIONS = {
    "google.protobuf": "protobuf",
    "google.rpc": "googleapis-common-protos",
    "grpc": "grpcio",
    "grpc_health": "grpcio-health-checking",
    "grpc_reflection": "grpcio-reflection",
    "grpc_status": "grpcio-status",
    "hdrh": "hdrhistogram",
    "opentelemetry.trace": "opentelemetry-api",
    "opentelemetry.sdk": "opentelemetry-sdk",
    "opentelemetry.exporter.otlp.proto.grpc": "opentelemetry-exporter-otlp-proto-grpc",
    "prometheus_client": "prometheus-client",
}


def longest_prefix(name, table):
    """Returns the entry of `table` for the longest prefix of a dotted name, or None."""
    parts = name.split(".")
    prefixes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((table[prefix] for prefix in prefixes if prefix in table), None)


def imported_distributions(source):
    """Returns the third-party distributions that Python source imports, lazy imports included."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    own = {Path(package).name for package in PACKAGES}
    external = {name for name in names if name.partition(".")[0] not in sys.stdlib_module_names | own}
    return {longest_prefix(name, DISTRIBUTIONS) or name.partition(".")[0] for name in external}


def declared(extra):
    """Returns the distributions that an extra declares, and the LoRB extras that it includes."""
    project = PROJECT["project"]
    requirements = project["dependencies"] if extra == BASE else project["optional-dependencies"][extra]
    distributions, extras = set(), set()
    for requirement in requirements:
        name, included = re.match(r"([\w-]+)(?:\[([\w,]+)\])?", requirement).groups()
        if name == "lorb":
            extras |= set(included.split(","))
        else:
            distributions.add(name.lower())
    return distributions, extras


def installed_before(extra):
    """Returns the distributions of the base and of the extras that this extra includes."""
    if extra == BASE:
        return set()
    _, included = declared(extra)
    if extra == "signing":  # signing is installed in addition to serve or train
        included = {"serve"}
    return declared(BASE)[0].union(*(declared(each)[0] for each in included))


def imports_by_extra():
    """Returns the distributions that each extra's modules import, with one importing file each."""
    found = {extra: {} for extra in set(EXTRA_OF_MODULE.values())}
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            module = ".".join(file.relative_to((ROOT / package).parent).with_suffix("").parts)
            for distribution in imported_distributions(file.read_text("utf-8")):
                found[longest_prefix(module, EXTRA_OF_MODULE)].setdefault(distribution, str(file.relative_to(ROOT)))
    return found


IMPORTS = imports_by_extra()


@pytest.mark.parametrize("extra", sorted(IMPORTS))
def test_an_extra_declares_what_its_modules_import(extra):
    """The modules of an extra import exactly the distributions that it declares."""
    imported = {name: file for name, file in IMPORTS[extra].items() if name not in installed_before(extra)}
    distributions, _ = declared(extra)
    undeclared = {name: file for name, file in imported.items() if name not in distributions}
    assert undeclared == {}, f"add to {extra} in pyproject.toml"
    assert distributions - imported.keys() == IMPORTED_BY_OTHERS.get(extra, set()), f"{extra} declares without import"


@pytest.mark.parametrize("extra", sorted(IMPORTED_BY_OTHERS))
def test_an_extra_declares_what_other_libraries_import(extra):
    """An extra whose distributions other libraries import declares those of the table and nothing else."""
    assert declared(extra)[0] - IMPORTS.get(extra, {}).keys() == IMPORTED_BY_OTHERS[extra]


def test_every_extra_is_in_a_table():
    """Each extra of pyproject.toml is in one of the tables above."""
    extras = set(PROJECT["project"]["optional-dependencies"]) | {BASE}
    assert extras == IMPORTS.keys() | IMPORTED_BY_OTHERS.keys() | REPOSITORY_EXTRAS


def test_lazy_and_dotted_imports_are_found():
    """Imports in functions count, names of namespace packages map to distributions, and LoRB's own are left out."""
    source = (
        "import os, torch.nn\nfrom google import rpc\nfrom lorb import nbest\ndef f():\n    from grpc_status import x"
    )
    assert imported_distributions(source) == {"torch", "googleapis-common-protos", "grpcio-status"}

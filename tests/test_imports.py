"""What starting a command imports: nothing that only other commands, or other settings, need."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

SERIALISATION = {"google.protobuf", "lorb.wire"}
MODEL = {"torch", "transformers", "safetensors", "numpy"}
OPTIONAL = {"matplotlib", "peft", "opentelemetry", "s3fs", "cryptography"}
# Of each module that starts a command, or that it imports to do its work: what it must not import.
NOT_IMPORTED = {
    "lorb_client.health": MODEL | OPTIONAL | SERIALISATION | {"rich", "lorb_client.client", "lorb_client.aio"},
    "lorb_client.rescore.cli": MODEL | OPTIONAL,
    "lorb_client.load.cli": MODEL | OPTIONAL,
    "lorb_server.cli": MODEL | OPTIONAL | {"grpc", "prometheus_client"},
    "lorb_server.app": OPTIONAL | {"fsspec"},
    "lorb_adapters.cli.adapters": MODEL | OPTIONAL | {"fsspec", "jinja2"},
    "lorb_adapters.cli.base_delta": MODEL | OPTIONAL,
    "lorb_adapters.training.cli.train_adapter": MODEL | OPTIONAL,
    "lorb_adapters.training.cli.compare": OPTIONAL | {"torch", "transformers"},
    "lorb_adapters.pretraining.cli": MODEL | OPTIONAL,
}


def imported_by(module):
    """The names of all modules that a new process has after importing one."""
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    return set(done.stdout.split())


@pytest.mark.parametrize("module", NOT_IMPORTED)
def test_a_command_imports_only_what_it_needs(module):
    """None of the packages that a command does without is among the modules of its process."""
    assert NOT_IMPORTED[module] & imported_by(module) == set()


def test_the_packages_are_installed():
    """The names above are those of installed packages and existing modules: a misspelt one would prove nothing."""
    names = set().union(*NOT_IMPORTED.values())
    assert {name for name in names if find_spec(name) is None} == set()


def test_a_client_is_imported_when_it_is_used():
    """`lorb_client` gives each client that it names, and no others."""
    import lorb_client
    from lorb_client.aio import AioClient
    from lorb_client.client import Client

    assert (lorb_client.AioClient, lorb_client.Client) == (AioClient, Client)
    assert all(hasattr(lorb_client, name) for name in lorb_client.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Cleint'"):
        lorb_client.Cleint  # noqa: B018

"""The Node and C++ examples give the same answers as the Python client."""

import json
import os
import shutil
import subprocess

import pytest

from lorb.ranked import FallbackReason, Outcome, Ranked, RankedHypothesis
from support.servers.rescoring_server import ScriptedService, serving

BUILD_TIMEOUT_SECONDS = 1200
TIMEOUT_SECONDS = 120
TEXTS = ("they's iron they say", "there's iron they say", "there's i and they say")
FIRST_PASS_LINES = [f"{i}\t-\t{text}" for i, text in enumerate(TEXTS)]


def run(*command, stdin="", **settings):
    """Runs a program and returns the completed process, with its output as text."""
    parts = [str(part) for part in command]
    defaults = {"capture_output": True, "text": True, "timeout": TIMEOUT_SECONDS}
    return subprocess.run(parts, input=stdin, **{**defaults, **settings})  # noqa: S603 - our own examples


def expected(server):
    """Returns (index, transcript) of TEXTS in the server's order, for first-pass scores that fall by 1."""
    return [(str(h.index), h.transcript) for h in server.rescore(*TEXTS, domain="librispeech").hypotheses]


def ranked(lines):
    """Returns (index, transcript) of each printed line; checks that the posteriors add up to 1."""
    columns = [line.split("\t") for line in lines]
    assert sum(float(posterior) for _, posterior, _ in columns) == pytest.approx(1, abs=0.002)
    return [(index, transcript) for index, _, transcript in columns]


@pytest.fixture(scope="module")
def node(pytestconfig, tmp_path_factory):
    """The command and environment of the Node client, with the packages of package-lock.json."""
    folder = pytestconfig.rootpath / "examples" / "node"
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed: apt-get install nodejs npm")
    modules = folder / "node_modules"
    if not modules.exists():
        copy = tmp_path_factory.mktemp("node")
        for name in ("package.json", "package-lock.json"):
            shutil.copy(folder / name, copy)
        npm_ci = (shutil.which("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund")
        installed = run(*npm_ci, cwd=copy, timeout=BUILD_TIMEOUT_SECONDS)
        if installed.returncode:
            pytest.skip(f"npm ci failed: {installed.stderr.strip().splitlines()[-1]}")
        modules = copy / "node_modules"
    return ("node", folder / "rescore.js"), {**os.environ, "NODE_PATH": str(modules)}


@pytest.fixture
def first_pass_target():
    """The address of a server that answers every list in first-pass order, because its deadline is too short."""

    def first_pass(nbest, options):
        hypotheses = tuple(RankedHypothesis(i, each.transcript) for i, each in enumerate(nbest.hypotheses))
        return Ranked(hypotheses, Outcome.FIRST_PASS, nbest.id, FallbackReason.DEADLINE)

    service = ScriptedService()
    service.answer = first_pass
    with serving(service) as target:
        yield target


@pytest.fixture(scope="module")
def cpp(pytestconfig, tmp_path_factory):
    """The path of the C++ client after the build."""
    needed = ("make", "g++", "pkg-config", "protoc", "grpc_cpp_plugin")
    missing = [name for name in needed if not shutil.which(name)]
    if missing or run("pkg-config", "--exists", "grpc++", "protobuf").returncode:
        pytest.skip(f"no C++ toolchain ({', '.join(missing) or 'libgrpc++-dev'}): see examples/cpp/rescore.cpp")
    build = tmp_path_factory.mktemp("cpp")
    make = (shutil.which("make"), f"BUILD={build}", "CXXFLAGS=-O0", build / "rescore")
    built = run(*make, cwd=pytestconfig.rootpath / "examples" / "cpp", timeout=BUILD_TIMEOUT_SECONDS)
    assert built.returncode == 0, built.stderr
    return build / "rescore"


def test_node_ranks_as_python_does(node, server):
    """Node prints the ids, outcomes and orders of two lists, one of them without scores."""
    command, environment = node
    scored = {"id": "u1", "hyps": [{"text": text, "score": -float(i)} for i, text in enumerate(TEXTS)]}
    unscored = {"id": "u2", "hyps": [{"text": text} for text in TEXTS]}
    done = run(
        *command, server.target, "librispeech", stdin=f"{json.dumps(scored)}\n{json.dumps(unscored)}\n", env=environment
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "u1 OUTCOME_RESCORED"
    assert ranked(lines[1:4]) == expected(server)
    assert lines[4] == "u2 OUTCOME_RESCORED"
    assert sorted(ranked(lines[5:])) == sorted((str(i), text) for i, text in enumerate(TEXTS))


def test_node_prints_an_answer_without_posteriors(node, first_pass_target):
    """Node prints an answer in first-pass order with "-" for each posterior."""
    command, environment = node
    line = json.dumps({"id": "u1", "hyps": [{"text": text, "score": -float(i)} for i, text in enumerate(TEXTS)]})
    done = run(*command, first_pass_target, "librispeech", stdin=f"{line}\n", env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["u1 OUTCOME_FIRST_PASS", *FIRST_PASS_LINES]


def test_node_prints_an_error_of_the_server(node, server):
    """For an unknown domain Node prints one line with the status and exits with 1."""
    command, environment = node
    line = json.dumps({"id": "u1", "hyps": [{"text": "they say", "score": -1.0}]})
    done = run(*command, server.target, "nowhere", stdin=f"{line}\n", env=environment)
    assert done.returncode == 1
    assert done.stderr.startswith("rescore.js: 5 NOT_FOUND")
    assert len(done.stderr.splitlines()) == 1


def test_cpp_ranks_as_python_does(cpp, server):
    """C++ prints a list in the same order as the Python client."""
    stdin = "".join(f"{-i}\t{text}\n" for i, text in enumerate(TEXTS))
    done = run(cpp, server.target, "librispeech", stdin=stdin)
    assert (done.returncode, done.stderr) == (0, "")
    outcome, *lines = done.stdout.splitlines()
    assert outcome == "OUTCOME_RESCORED"
    assert ranked(lines) == expected(server)


def test_cpp_prints_an_answer_without_posteriors(cpp, first_pass_target):
    """C++ prints an answer in first-pass order with "-" for each posterior."""
    done = run(cpp, first_pass_target, "librispeech", stdin="".join(f"{-i}\t{text}\n" for i, text in enumerate(TEXTS)))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["OUTCOME_FIRST_PASS", *FIRST_PASS_LINES]


@pytest.mark.parametrize(
    ("stdin", "domain", "status", "message"),
    [
        ("-1\tthey say\n", "nowhere", 1, "rescore: status 5: "),
        ("they say\n", "librispeech", 2, 'not "score<tab>words"'),
    ],
)
def test_cpp_prints_errors(cpp, server, stdin, domain, status, message):
    """C++ prints an error of the server and exits with 1, and refuses an invalid line with 2."""
    done = run(cpp, server.target, domain, stdin=stdin)
    assert done.returncode == status
    assert message in done.stderr

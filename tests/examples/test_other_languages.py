"""The clients in other languages, each a program of its own against a real server: they say what Python's says."""

import json
import os
import shutil
import subprocess

import pytest

from lorb.ranked import FallbackReason, Outcome, Ranked, RankedHypothesis
from support.servers.rescoring_server import ScriptedService, serving

SECONDS_TO_BUILD = 1200
SECONDS_TO_ANSWER = 120
TEXTS = ("they's iron they say", "there's iron they say", "there's i and they say")
FIRST_PASS_LINES = [f"{i}\t-\t{text}" for i, text in enumerate(TEXTS)]


def run(*command, stdin="", **settings):
    """What a program did, its streams as text."""
    parts = [str(part) for part in command]
    fixed = {"capture_output": True, "text": True, "timeout": SECONDS_TO_ANSWER}
    return subprocess.run(parts, input=stdin, **{**fixed, **settings})  # noqa: S603 - our own examples


def expected(server):
    """Lines of index and transcript as the server ranks TEXTS, the scores falling by 1."""
    return [(str(h.index), h.transcript) for h in server.rescore(*TEXTS, domain="librispeech").hypotheses]


def ranked(lines):
    """(index, transcript) of each line, its posterior checked to be one."""
    columns = [line.split("\t") for line in lines]
    assert sum(float(posterior) for _, posterior, _ in columns) == pytest.approx(1, abs=0.002)
    return [(index, transcript) for index, _, transcript in columns]


@pytest.fixture(scope="module")
def node(pytestconfig, tmp_path_factory):
    """The Node client's command and environment; its packages as package-lock.json has them."""
    folder = pytestconfig.rootpath / "examples" / "node"
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed: apt-get install nodejs npm")
    modules = folder / "node_modules"
    if not modules.exists():
        copy = tmp_path_factory.mktemp("node")
        for name in ("package.json", "package-lock.json"):
            shutil.copy(folder / name, copy)
        npm_ci = (shutil.which("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund")
        installed = run(*npm_ci, cwd=copy, timeout=SECONDS_TO_BUILD)
        if installed.returncode:
            pytest.skip(f"npm ci failed: {installed.stderr.strip().splitlines()[-1]}")
        modules = copy / "node_modules"
    return ("node", folder / "rescore.js"), {**os.environ, "NODE_PATH": str(modules)}


@pytest.fixture
def out_of_time():
    """Where a server listens that has time for no list."""

    def first_pass(nbest, options):
        hypotheses = tuple(RankedHypothesis(i, each.transcript) for i, each in enumerate(nbest.hypotheses))
        return Ranked(hypotheses, Outcome.FIRST_PASS, nbest.id, FallbackReason.DEADLINE)

    service = ScriptedService()
    service.answer = first_pass
    with serving(service) as target:
        yield target


@pytest.fixture(scope="module")
def cpp(pytestconfig, tmp_path_factory):
    """The C++ client, built."""
    needed = ("make", "g++", "pkg-config", "protoc", "grpc_cpp_plugin")
    missing = [name for name in needed if not shutil.which(name)]
    if missing or run("pkg-config", "--exists", "grpc++", "protobuf").returncode:
        pytest.skip(f"no C++ toolchain ({', '.join(missing) or 'libgrpc++-dev'}): see examples/cpp/rescore.cpp")
    build = tmp_path_factory.mktemp("cpp")
    make = (shutil.which("make"), f"BUILD={build}", "CXXFLAGS=-O0", build / "rescore")
    made = run(*make, cwd=pytestconfig.rootpath / "examples" / "cpp", timeout=SECONDS_TO_BUILD)
    assert made.returncode == 0, made.stderr
    return build / "rescore"


def test_node_ranks_as_python_does(node, server):
    """Two lists through one connection: ids, outcomes and orders come back, a list without scores included."""
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


def test_node_prints_an_answer_without_posteriors(node, out_of_time):
    """A list that the server had no time for is an answer too, in the recogniser's order."""
    command, environment = node
    line = json.dumps({"id": "u1", "hyps": [{"text": text, "score": -float(i)} for i, text in enumerate(TEXTS)]})
    done = run(*command, out_of_time, "librispeech", stdin=f"{line}\n", env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["u1 OUTCOME_FIRST_PASS", *FIRST_PASS_LINES]


def test_node_tells_what_the_server_refused(node, server):
    """A domain that is not served is a sentence and a status, no trace."""
    command, environment = node
    line = json.dumps({"id": "u1", "hyps": [{"text": "they say", "score": -1.0}]})
    done = run(*command, server.target, "nowhere", stdin=f"{line}\n", env=environment)
    assert done.returncode == 1
    assert done.stderr.startswith("rescore.js: 5 NOT_FOUND")
    assert len(done.stderr.splitlines()) == 1


def test_cpp_ranks_as_python_does(cpp, server):
    """One list, ranked as by Python's stub."""
    stdin = "".join(f"{-i}\t{text}\n" for i, text in enumerate(TEXTS))
    done = run(cpp, server.target, "librispeech", stdin=stdin)
    assert (done.returncode, done.stderr) == (0, "")
    outcome, *lines = done.stdout.splitlines()
    assert outcome == "OUTCOME_RESCORED"
    assert ranked(lines) == expected(server)


def test_cpp_prints_an_answer_without_posteriors(cpp, out_of_time):
    """No 0.000 where there is none."""
    done = run(cpp, out_of_time, "librispeech", stdin="".join(f"{-i}\t{text}\n" for i, text in enumerate(TEXTS)))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["OUTCOME_FIRST_PASS", *FIRST_PASS_LINES]


@pytest.mark.parametrize(
    ("stdin", "domain", "status", "said"),
    [
        ("-1\tthey say\n", "nowhere", 1, "rescore: status 5: "),
        ("they say\n", "librispeech", 2, 'not "score<tab>words"'),
    ],
)
def test_cpp_tells_what_is_wrong(cpp, server, stdin, domain, status, said):
    """A refusal of the server, and a line that is no hypothesis."""
    done = run(cpp, server.target, domain, stdin=stdin)
    assert done.returncode == status
    assert said in done.stderr

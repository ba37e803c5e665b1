"""Commands, flags, make targets and variables in the documents exist."""

import re

import pytest

from support.documents.commands import SCRIPTS, flags_of, parser_of
from support.documents.documents import DOCUMENTS, ROOT, command_lines, inline_code, simple_commands

ELLIPSIS = "..."
# Flags of other programs and of the benchmarks that the documents name.
OTHER_FLAGS = {
    *("--against", "--quick"),
    *("--nbest", "--no-deps", "--nproc-per-node", "--no-python", "--go_opt", "--go-grpc_opt"),
    *("--all", "--profile", "--scale", "--build-arg", "--network", "--gpus", "--rm"),
}


def lorb_commands():
    """Returns (command line, command, arguments) of every LoRB command in the documents."""
    found = []
    for code in (code for document in DOCUMENTS for code in command_lines(document)):
        if any(name in code.text for name in SCRIPTS):
            for words in simple_commands(code.text):
                at = next((number for number, word in enumerate(words) if word in SCRIPTS), None)
                if at is not None:
                    found.append((code, words[at], words[at + 1 :]))
    return found


def exit_status(parser, arguments):
    """Returns 0 if the parser accepts the arguments or handles them itself, as --version."""
    try:
        parser.parse_args(arguments)
    except SystemExit as ended:
        return ended.code
    return 0


@pytest.mark.parametrize(("code", "command", "arguments"), lorb_commands(), ids=lambda value: str(value)[:90])
def test_a_documented_command_line_is_valid(code, command, arguments, capsys):
    """The command's parser accepts each documented line; of a shortened line it knows the flags."""
    if ELLIPSIS in arguments:
        assert {word for word in arguments if word.startswith("-")} <= flags_of(parser_of(command))
        return
    assert exit_status(parser_of(command), arguments) == 0, f"{code}: {capsys.readouterr().err}"


def test_every_command_is_shown():
    """The documents have a command line for each command of the package."""
    assert {command for _, command, _ in lorb_commands()} == set(SCRIPTS)


def test_flags_in_sentences_exist():
    """A flag in backquotes belongs to the command in the same backquotes, or to any command."""
    flags = {command: flags_of(parser_of(command)) for command in SCRIPTS}
    every = set().union(*flags.values()) | OTHER_FLAGS
    wrong = []
    for code in (code for document in DOCUMENTS for code in inline_code(document)):
        named = re.findall(r"(?<![\w-])--[a-z][\w-]*", code.text)
        command = next((word for word in code.text.split() if word in SCRIPTS), None)
        known = flags[command] | OTHER_FLAGS if command else every
        wrong += [f"{code}: {flag}" for flag in named if flag not in known]
    assert wrong == []


def test_make_targets_exist():
    """Each documented make target is in the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    codes = [code for document in DOCUMENTS for code in (*command_lines(document), *inline_code(document))]
    named = {match[1] for code in codes if (match := re.match(r"make ([a-z-]+)\b", code.text))}
    assert named
    assert named <= targets


def test_variables_exist():
    """The server, a command or compose reads each documented variable that begins with LORB_."""
    known = {f"LORB_{flag[2:].replace('-', '_').upper()}" for flag in flags_of(parser_of("lorb-serve"))}
    files = {flag for flag in flags_of(parser_of("lorb-rescore")) if flag.startswith(("--tls-", "--token-"))}
    known |= {f"LORB_CLIENT_{flag[2:].replace('-', '_').upper()}" for flag in files}
    known |= set(re.findall(r"LORB_[A-Z_]+", (ROOT / "docker-compose.yml").read_text("utf-8")))
    named = {name for document in DOCUMENTS for name in re.findall(r"\bLORB_[A-Z_]+", document.read_text("utf-8"))}
    assert named
    assert named <= known

"""lorb_cli.command: flags and messages that all commands share."""

import shutil
import subprocess

import pytest

from lorb import __version__
from lorb_cli.command import SHELLS, require_extra
from support.documents.commands import SCRIPTS, actions_of, parser_of


@pytest.mark.parametrize("command", SCRIPTS)
def test_every_command_prints_its_version(command, capsys):
    """--version prints the command's name and the version of the package."""
    with pytest.raises(SystemExit) as ended:
        parser_of(command).parse_args(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"{command} {__version__}\n"


@pytest.mark.parametrize("command", SCRIPTS)
def test_help_fits_a_terminal_and_explains_every_argument(command, monkeypatch):
    """At 100 columns the usage has at most three lines, and every argument has a help text."""
    monkeypatch.setenv("COLUMNS", "100")
    parser = parser_of(command)
    assert len(parser.format_usage().splitlines()) <= 3
    assert parser.description
    assert [action.dest for action in actions_of(parser) if action.help is None] == []


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_needs_no_required_arguments(shell, capsys):
    """--print-completion works without the required arguments, like --help."""
    with pytest.raises(SystemExit) as ended:
        parser_of("lorb-rescore").parse_args(["--print-completion", shell])
    assert ended.value.code == 0
    assert "lorb-rescore" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "typed", "offered"),
    [
        ("lorb-rescore", ["--tar"], ["--target"]),
        ("lorb-serve", ["--log-format", ""], ["json", "text"]),
        ("lorb-adapters", ["ro"], ["rollback"]),
        ("lorb-train-adapter", ["--method", "pre"], ["prefix"]),
    ],
)
def test_bash_completes(command, typed, offered, capsys):
    """Bash with the printed script offers the flags, choices and subcommands that begin as typed."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash on this machine")
    with pytest.raises(SystemExit):
        parser_of(command).parse_args(["--print-completion", "bash"])
    script = capsys.readouterr().out
    words = " ".join(f"'{word}'" for word in (command, *typed))
    asked = f"""{script}
COMP_WORDS=({words}); COMP_CWORD={len(typed)}
function=$(complete -p {command} | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
$function; printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run([bash, "-c", asked], capture_output=True, text=True, check=True)  # noqa: S603 - our own script
    assert sorted(line.strip() for line in done.stdout.splitlines()) == offered


def test_a_missing_extra_is_named_in_one_line(capsys):
    """Without a package of an extra, a command ends with one line that names the extra to install."""
    with pytest.raises(SystemExit) as ended, require_extra("lorb-serve", "serve"):
        import a_package_that_nobody_has  # noqa: F401
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "lorb-serve: a_package_that_nobody_has is not installed: pip install 'lorb[serve]'\n"
    )


def test_a_missing_module_of_ours_is_no_missing_extra():
    """A missing module of LoRB itself is raised, and not reported as a missing extra."""
    with pytest.raises(ModuleNotFoundError), require_extra("lorb-serve", "serve"):
        import lorb.no_such_module  # noqa: F401

"""The command `lorb-rescore`: flags, messages and exit status."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from lorb.errors import LorbError
from lorb.names import DomainSelector
from lorb.ranked import FallbackPolicy, RescoreOptions, Selection
from lorb_cli.command import add_common_arguments, sigterm_as_keyboard_interrupt
from lorb_cli.nbest_arguments import add_format_arguments, format_options
from lorb_client.arguments import (
    access_from_arguments,
    add_access_arguments,
    add_target_argument,
    positive_count,
    require_port,
)
from lorb_client.exit_status import EXIT_FAILED, EXIT_INCOMPLETE, EXIT_INTERRUPTED, exit_status
from lorb_client.rescore.run import STDOUT, RunConfig, run
from lorb_client.rescore.stream import StreamLimits

_DESCRIPTION = """\
Sends N-best lists to a LoRB server and writes them re-ranked, best first, as native JSON lines. All fields are
kept: "score" remains the first-pass score. New fields hold the new scores. The field "lorb" holds the outcome and
the adapter. If the lists have references, the command prints word error rates; its last line reads
"WER first-pass A rescored B oracle C", in per cent. The first pass is the hypothesis with the highest score, or the
first one in lists without scores.

Lists that the server has no time or room to rescore are sent again, one at a time, with longer deadlines. After three
such lists in a row that no attempt could rescore, the run goes on without sending lists again. If lists remain that
were not rescored in full, the last line ends with their number: "(N of M lists not rescored in full)". Lists whose
outcome only a newer lorb-rescore knows ("unknown") count as not rescored in full."""

_EPILOG = """\
Without -o no lists are written: the word error rates are the result, and the lists must have references.
With "-o -" the lists go to standard output, and counts and word error rates to standard error.
OUT appears only when all lists are written; an interrupted run leaves no file.

Exit status: 0 done; 1 the server cannot be reached, or failed; 2 a file or an argument is wrong, or the scores look
like costs; 4 done, but more than 1 % of the lists were not rescored in full; 130 interrupted."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command. Returns its exit status."""
    arguments = parser().parse_args(argv)
    try:
        config = _config(arguments)
        with sigterm_as_keyboard_interrupt():
            tally = run(config)
        report = sys.stderr if config.out == STDOUT else sys.stdout
        print("\n".join(tally.lines()), file=report, flush=True)
    except LorbError as error:
        print(f"lorb-rescore: {' '.join(error.message.split())}", file=sys.stderr)
        return exit_status(error)
    except KeyboardInterrupt:
        print("lorb-rescore: interrupted, nothing written", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of standard output has exited, as `head` does: no message is needed
        _discard_stdout()
        return EXIT_FAILED
    except OSError as error:
        _discard_stdout()
        print(f"lorb-rescore: standard output cannot be written: {error.strerror or error}", file=sys.stderr)
        return EXIT_FAILED
    if tally.is_incomplete:
        print(
            f"lorb-rescore: {tally.num_incomplete} of {tally.num_lists} lists were not rescored in full: "
            f"{tally.advice()}",
            file=sys.stderr,
        )
        return EXIT_INCOMPLETE
    return 0


def _discard_stdout() -> None:
    """Redirects standard output to the null device.

    Without this, Python tries at exit to write its buffered output again, and fails with a traceback and status 120.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _config(arguments: argparse.Namespace) -> RunConfig:
    if arguments.domain:
        DomainSelector.parse(arguments.domain, "--domain")
    return RunConfig(
        files=tuple(arguments.files),
        format=arguments.format,
        format_options=format_options(arguments),
        target=require_port(arguments.target),
        options=RescoreOptions(
            domain=arguments.domain,
            rescoring_weight=arguments.weight,
            fallback_policy=FallbackPolicy.FAIL if arguments.fail else FallbackPolicy.DEGRADE,
            top_n=arguments.top_n,
            selection=Selection(arguments.selection),
        ),
        out=arguments.out,
        send_context=arguments.context,
        limits=StreamLimits(
            arguments.concurrency, arguments.lists_per_call, arguments.timeout_seconds, arguments.timeout_seconds
        ),
        allow_rising_scores=arguments.allow_rising_scores,
        access=access_from_arguments(arguments),
        quiet=arguments.quiet,
    )


def parser() -> argparse.ArgumentParser:
    """Returns the parser with all flags."""
    parser = argparse.ArgumentParser(
        prog="lorb-rescore",
        usage="lorb-rescore FILE [FILE ...] --target HOST:PORT [--domain D] [-o OUT] [option ...]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="file of lists, plain or gzip, or a folder")
    parser.add_argument(
        "-o", "--out", type=Path, help='output file, gzip if its name ends in .gz; "-" for standard output'
    )
    parser.add_argument("--quiet", action="store_true", help="hide the progress bar, which only terminals show")
    parser.add_argument(
        "--allow-rising-scores",
        action="store_true",
        help="rescore lists whose scores rise from best to worst; by default this is an error, because such scores are "
        "usually costs",
    )
    add_common_arguments(parser)
    _add_server_arguments(parser)
    _add_ranking_arguments(parser)
    add_format_arguments(parser)
    return parser


def _add_server_arguments(parser: argparse.ArgumentParser) -> None:
    server = parser.add_argument_group("server")
    add_target_argument(server)
    add_access_arguments(server)
    server.add_argument(
        "--timeout-seconds",
        type=float,
        default=60.0,
        metavar="S",
        help="deadline of each call, and the longest total wait for an overloaded server (default: 60); "
        "lists that need more time are sent again with up to 8 times as long, until three in a row need still more",
    )
    server.add_argument(
        "--concurrency",
        type=positive_count,
        default=StreamLimits().calls,
        metavar="N",
        help="maximum number of concurrent calls (default: 4)",
    )
    server.add_argument(
        "--lists-per-call",
        type=positive_count,
        default=StreamLimits().lists_per_call,
        metavar="N",
        help="maximum number of lists in a call, which share its deadline; servers may allow fewer (default: 16)",
    )


def _add_ranking_arguments(parser: argparse.ArgumentParser) -> None:
    ranking = parser.add_argument_group("ranking")
    ranking.add_argument(
        "--domain",
        default="",
        metavar="D",
        help='"name" or "name@alias" (default: the server\'s default domain)',
    )
    ranking.add_argument(
        "--weight", type=float, help="weight of the rescoring score (default: the adapter's own weight)"
    )
    ranking.add_argument(
        "--selection",
        choices=[selection.value for selection in Selection],
        default=Selection.MAP.value,
        help="map: highest combined score; mbr: lowest expected word errors (default: map)",
    )
    ranking.add_argument(
        "--top-n", type=int, default=0, metavar="N", help="keep the N best hypotheses of each list (default: all)"
    )
    ranking.add_argument(
        "--context",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="send the context of the lists; adapters trained without context ignore it (default: --context)",
    )
    ranking.add_argument(
        "--fail",
        action="store_true",
        help="fail if the server has no time or room for a list in any attempt; by default fewer hypotheses or none "
        "are rescored",
    )


if __name__ == "__main__":
    sys.exit(main())

"""The command `lorb-rescore`: files of N-best lists through a server."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from lorb.errors import LorbError
from lorb.names import DomainSelector
from lorb.ranked import FallbackPolicy, RescoreOptions, Selection
from lorb_cli.command import add_common_arguments, interrupted_by_sigterm
from lorb_cli.nbest_arguments import add_format_arguments, format_options
from lorb_client.access import access_from, add_access_arguments
from lorb_client.arguments import positive_count, with_port
from lorb_client.exit_status import EXIT_FAILED, EXIT_INTERRUPTED, status_of
from lorb_client.rescore.run import STDOUT, RunConfig, run
from lorb_client.rescore.stream import StreamLimits

_DESCRIPTION = """\
Sends N-best lists to a LoRB server and writes them re-ranked, best first, as native JSON lines: every
field kept, "score" still the first pass's, the new scores beside it, and under "lorb" what was done and by
which adapter. Where the lists have references it prints the word error rates; the last line reads
"WER first-pass A rescored B oracle C", in per cent."""

_EPILOG = """\
Without -o nothing is written: the word error rates are the result, and lists without references are refused.
With "-o -" the lists go to standard output and the table to standard error.
OUT takes its name when the last list is in it; an interrupted run leaves nothing.

Exit status: 0 done; 1 the server cannot be reached, or failed; 2 a file or an argument is wrong;
130 interrupted."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    arguments = parser().parse_args(argv)
    try:
        config = _config(arguments)
        with interrupted_by_sigterm():
            tally = run(config)
        report = sys.stderr if config.out == STDOUT else sys.stdout
        print("\n".join(tally.lines()), file=report, flush=True)
    except LorbError as error:
        print(f"lorb-rescore: {' '.join(error.message.split())}", file=sys.stderr)
        return status_of(error)
    except KeyboardInterrupt:
        print("lorb-rescore: interrupted, nothing written", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of standard output has gone: nobody is left to tell
        _drop_output()
        return EXIT_FAILED
    except OSError as error:
        _drop_output()
        print(f"lorb-rescore: standard output cannot be written: {error.strerror or error}", file=sys.stderr)
        return EXIT_FAILED
    return 0


def _drop_output() -> None:
    """What could not be written would be tried again when Python ends, with a trace and status 120."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _config(arguments: argparse.Namespace) -> RunConfig:
    if arguments.domain:
        DomainSelector.parse(arguments.domain, "--domain")
    return RunConfig(
        files=tuple(arguments.files),
        format=arguments.format,
        format_options=format_options(arguments),
        target=with_port(arguments.target, "--target"),
        options=RescoreOptions(
            domain=arguments.domain,
            rescoring_weight=arguments.weight,
            fallback_policy=FallbackPolicy.FAIL if arguments.fail else FallbackPolicy.DEGRADE,
            top_n=arguments.top_n,
            selection=Selection(arguments.selection),
        ),
        out=arguments.out,
        send_context=arguments.context,
        timeout_seconds=arguments.timeout_seconds,
        limits=StreamLimits(arguments.concurrency, arguments.lists_per_call, arguments.timeout_seconds),
        access=access_from(arguments),
        quiet=arguments.quiet,
    )


def parser() -> argparse.ArgumentParser:
    """All flags."""
    made = argparse.ArgumentParser(
        prog="lorb-rescore",
        usage="lorb-rescore FILE [FILE ...] --target HOST:PORT [--domain D] [-o OUT] [option ...]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("files", nargs="+", type=Path, metavar="FILE", help="lists, plain or gzip; or a tool's folder")
    made.add_argument("-o", "--out", type=Path, help='write here, gzip if it ends in .gz; "-": standard output')
    made.add_argument("--quiet", action="store_true", help="no progress bar; there is none off a terminal anyway")
    add_common_arguments(made)
    _add_server_arguments(made)
    _add_ranking_arguments(made)
    add_format_arguments(made)
    return made


def _add_server_arguments(parser: argparse.ArgumentParser) -> None:
    server = parser.add_argument_group("server")
    server.add_argument("--target", required=True, metavar="HOST:PORT", help="the server, or a name gRPC resolves")
    add_access_arguments(server)
    server.add_argument(
        "--timeout-seconds",
        type=float,
        default=60.0,
        metavar="S",
        help="deadline of each call; as long it is tried again where the server has no room for it (60)",
    )
    server.add_argument(
        "--concurrency",
        type=positive_count,
        default=StreamLimits().calls,
        metavar="N",
        help="calls under way at once (4)",
    )
    server.add_argument(
        "--lists-per-call",
        type=positive_count,
        default=StreamLimits().lists_per_call,
        metavar="N",
        help="at most this many lists share a call and its deadline, or fewer if the server says so (16)",
    )


def _add_ranking_arguments(parser: argparse.ArgumentParser) -> None:
    ranking = parser.add_argument_group("ranking")
    ranking.add_argument(
        "--domain",
        default="",
        metavar="D",
        help='"name" or "name@alias"; without it the server\'s default domain',
    )
    ranking.add_argument("--weight", type=float, help="of the rescoring score, in place of the adapter's own")
    ranking.add_argument(
        "--selection",
        choices=[each.value for each in Selection],
        default=Selection.MAP.value,
        help="map: highest combined score; mbr: lowest expected word error",
    )
    ranking.add_argument("--top-n", type=int, default=0, metavar="N", help="keep the N best of each list (all)")
    ranking.add_argument(
        "--context",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="send the lists' context; adapters trained without one ignore it",
    )
    ranking.add_argument(
        "--fail",
        action="store_true",
        help="stop where the server lacks time or room; otherwise such a list keeps its first-pass order",
    )


if __name__ == "__main__":
    sys.exit(main())

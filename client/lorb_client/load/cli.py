"""The command `lorb-load`: an open-loop load on a server, and what it did to its callers."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from lorb.errors import InvalidInput, LorbError
from lorb.formats import Notices, check_writable, read_nbest_lists
from lorb.nbest import NBest
from lorb.ranked import FallbackPolicy, RescoreOptions
from lorb_cli.command import add_common_arguments, needing_extra
from lorb_cli.nbest_arguments import add_format_arguments, format_options
from lorb_client.access import access_from, add_access_arguments
from lorb_client.arguments import positive_count, with_port
from lorb_client.exit_status import EXIT_FAILED, EXIT_INTERRUPTED, status_of
from lorb_client.load.arrivals import Arrivals, Step, parse_steps
from lorb_client.load.mix import ONLY_DEFAULT, parse_domains

with needing_extra("lorb-load", "load"):
    from lorb_client.load.load import LoadConfig, run_load
    from lorb_client.load.progress import load_progress
    from lorb_client.load.report import report
    from lorb_client.load.result import LoadResult

_DESCRIPTION = """\
Sends N-best lists to a LoRB server at a rate that does not depend on its answers, and reports what its callers
would have met. When each call is due is computed beforehand; it is sent then, however many earlier calls wait,
and its latency counts from then. How late the generator itself was is measured and told."""

_EPILOG = """\
A server with a score cache answers lists it has seen from the cache: start it with --score-cache-bytes 0 to
measure its model.

Endings: rescored, partial and first_pass are lists that came back; refused is a status from the server; no_answer
is gRPC's own, as when the deadline passed.

Exit status: 0 done; 1 the server cannot be reached, or answered nothing; 2 a file or an argument is wrong;
130 interrupted, with the figures until then."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    arguments = parser().parse_args(argv)
    try:
        result = _result(arguments)
    except LorbError as error:
        print(f"lorb-load: {' '.join(error.message.split())}", file=sys.stderr)
        return status_of(error)
    except KeyboardInterrupt:
        print("lorb-load: interrupted before the load began", file=sys.stderr)
        return EXIT_INTERRUPTED
    if result.interrupted:
        return EXIT_INTERRUPTED
    return 0 if result.num_answered else EXIT_FAILED


def _result(arguments: argparse.Namespace) -> LoadResult:
    for out in (arguments.json, arguments.hgrm):
        if out is not None:
            check_writable(out)
    config = _config(arguments)
    with load_progress(config.seconds, quiet=arguments.quiet):
        result = run_load(config)
    print("\n".join(report(result)), flush=True)
    if arguments.json is not None:
        described = {"load": _described(arguments), **result.to_json()}
        arguments.json.write_text(json.dumps(described, indent=2, default=str) + "\n", "utf-8")
    if arguments.hgrm is not None:
        arguments.hgrm.write_bytes(result.latencies.distribution())
    return result


def _config(arguments: argparse.Namespace) -> LoadConfig:
    policy = FallbackPolicy(arguments.fallback_policy)
    return LoadConfig(
        target=with_port(arguments.server, "--server"),
        lists=_lists(arguments),
        steps=_steps(arguments.rate, arguments.duration_seconds),
        arrivals=Arrivals(arguments.arrivals),
        deadline_seconds=arguments.deadline_seconds,
        warm_up_seconds=arguments.warm_up_seconds,
        domains=parse_domains(arguments.domains) if arguments.domains else ONLY_DEFAULT,
        num_hypotheses=arguments.hypotheses,
        options=RescoreOptions(fallback_policy=policy),
        seed=arguments.seed,
        num_connections=arguments.connections,
        in_flight_limit=arguments.in_flight_limit,
        num_processes=arguments.processes,
        access=access_from(arguments),
    )


def _lists(arguments: argparse.Namespace) -> list[NBest]:
    notices = Notices()
    lists = read_nbest_lists(
        arguments.files, format=arguments.format, options=format_options(arguments), notices=notices
    )
    for notice in notices.lines():
        print(f"lorb-load: {notice}", file=sys.stderr)
    return lists


def _steps(rate: str, duration_seconds: float | None) -> tuple[Step, ...]:
    if ":" in rate:
        if duration_seconds is not None:
            raise InvalidInput("--rate has steps with their own durations: leave --duration-seconds out")
        return parse_steps(rate)
    try:
        rate_per_second = float(rate)
    except ValueError:
        raise InvalidInput(f"--rate {rate!r} is neither a number nor steps as 50:30,100:30") from None
    return (Step(rate_per_second, 30.0 if duration_seconds is None else duration_seconds),)


def _described(arguments: argparse.Namespace) -> dict[str, object]:
    """The options as given, for whoever reads the file later."""
    plain = {name: value for name, value in vars(arguments).items() if name not in ("json", "hgrm", "quiet")}
    plain["files"] = [str(path) for path in arguments.files]
    return plain


def parser() -> argparse.ArgumentParser:
    """All flags."""
    made = argparse.ArgumentParser(
        prog="lorb-load",
        usage="lorb-load FILE [FILE ...] --server HOST:PORT --rate R [option ...]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("files", nargs="+", type=Path, metavar="FILE", help="lists, plain or gzip; or a tool's folder")
    made.add_argument("--server", required=True, metavar="HOST:PORT", help="the server, or a name gRPC resolves")
    add_common_arguments(made)
    _add_load_arguments(made)
    _add_call_arguments(made)
    _add_generator_arguments(made)
    add_format_arguments(made)
    made.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    made.add_argument("--hgrm", type=Path, metavar="FILE", help="write all calls' percentile distribution here")
    made.add_argument("--quiet", action="store_true", help="no progress line; there is none off a terminal anyway")
    return made


def _add_load_arguments(parser: argparse.ArgumentParser) -> None:
    load = parser.add_argument_group("load")
    load.add_argument(
        "--rate", required=True, metavar="R", help="calls per second, or steps RATE:SECONDS,... as 50:30,100:30"
    )
    load.add_argument("--duration-seconds", type=float, metavar="S", help="measured time, of a plain rate (30)")
    load.add_argument("--warm-up-seconds", type=float, default=2.0, metavar="S", help="load before it, not counted (2)")
    load.add_argument(
        "--arrivals",
        choices=[each.value for each in Arrivals],
        default=Arrivals.POISSON.value,
        help="poisson: independent callers; constant: equal gaps",
    )
    load.add_argument("--seed", type=int, default=0, help="the same seed: the same calls at the same times (0)")


def _add_call_arguments(parser: argparse.ArgumentParser) -> None:
    calls = parser.add_argument_group("calls")
    calls.add_argument(
        "--domains", metavar="MIX", help='"a=0.7,b=0.3", "name@alias" too; without it the server\'s default domain'
    )
    calls.add_argument("--hypotheses", type=positive_count, metavar="N", help="cut each list to its best N")
    calls.add_argument("--deadline-seconds", type=float, default=1.0, metavar="S", help="of each call (1)")
    calls.add_argument(
        "--fallback-policy",
        choices=[each.value for each in FallbackPolicy],
        default=FallbackPolicy.DEGRADE.value,
        help="degrade: first-pass order where there is no time or room; fail: an error",
    )
    add_access_arguments(calls)


def _add_generator_arguments(parser: argparse.ArgumentParser) -> None:
    generator = parser.add_argument_group("generator")
    generator.add_argument("--connections", type=positive_count, default=4, metavar="N", help="of each process (4)")
    generator.add_argument("--processes", type=positive_count, default=1, metavar="N", help="that send (1)")
    generator.add_argument(
        "--in-flight-limit",
        type=positive_count,
        default=10_000,
        metavar="N",
        help="calls under way at once; beyond it they are counted as not sent (10000)",
    )


if __name__ == "__main__":
    sys.exit(main())

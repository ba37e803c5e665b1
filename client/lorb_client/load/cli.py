"""The command `lorb-load`: flags, messages and exit status."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from lorb.errors import InvalidInput, LorbError
from lorb.formats import Notices, check_writable, read_list_records
from lorb.nbest import NBest
from lorb.ranked import FallbackPolicy, RescoreOptions
from lorb_cli.command import add_common_arguments, require_extra
from lorb_cli.nbest_arguments import add_format_arguments, format_options
from lorb_client.arguments import (
    access_from_arguments,
    add_access_arguments,
    add_target_argument,
    positive_count,
    require_port,
)
from lorb_client.exit_status import EXIT_FAILED, EXIT_INTERRUPTED, exit_status
from lorb_client.load.arrivals import Arrivals, Step, parse_steps
from lorb_client.load.workload import ONLY_DEFAULT, parse_domains
from lorb_client.score_notices import notice, suspicious_scores

with require_extra("lorb-load", "load"):
    from lorb_client.load.progress import load_progress
    from lorb_client.load.report import report
    from lorb_client.load.result import LoadResult
    from lorb_client.load.run import LoadConfig, run_load

_DESCRIPTION = """\
Sends N-best lists to a LoRB server at a fixed rate (open loop), and reports throughput and latency. All calls are
scheduled beforehand. Each call is sent at its scheduled time, even if earlier calls are unanswered, and its latency
counts from its scheduled time. The report says how late the generator sent the calls."""

_EPILOG = """\
A server with a score cache answers repeated lists from the cache: start it with --score-cache-bytes 0 to measure
the model.

Outcomes: rescored, partial and first_pass are answered calls, each with its reason; unknown is an answer of a newer
server; refused is an error status of the server; no_answer is an error status of gRPC itself, such as an exceeded
deadline. No call is made a second time.

Exit status: 0 done; 1 the server cannot be reached, or answered no call; 2 a file or an argument is wrong;
130 interrupted; the figures until the interruption are printed if the load had begun."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command. Returns its exit status."""
    arguments = parser().parse_args(argv)
    try:
        result = _run(arguments)
    except LorbError as error:
        print(f"lorb-load: {' '.join(error.message.split())}", file=sys.stderr)
        return exit_status(error)
    except KeyboardInterrupt:
        print("lorb-load: interrupted before the load began", file=sys.stderr)
        return EXIT_INTERRUPTED
    if result.interrupted:
        return EXIT_INTERRUPTED
    return 0 if result.num_answered else EXIT_FAILED


def _run(arguments: argparse.Namespace) -> LoadResult:
    for out in (arguments.json, arguments.hgrm):
        if out is not None:
            check_writable(out)
    config = _config(arguments)
    with load_progress(config.seconds, quiet=arguments.quiet):
        result = run_load(config)
    print("\n".join(report(result)), flush=True)
    if arguments.json is not None:
        content = {"load": _options_as_given(arguments), **result.to_json()}
        arguments.json.write_text(json.dumps(content, indent=2, default=str) + "\n", "utf-8")
    if arguments.hgrm is not None:
        arguments.hgrm.write_bytes(result.latencies.distribution())
    return result


def _config(arguments: argparse.Namespace) -> LoadConfig:
    policy = FallbackPolicy(arguments.fallback_policy)
    return LoadConfig(
        target=require_port(arguments.target),
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
        access=access_from_arguments(arguments),
    )


def _lists(arguments: argparse.Namespace) -> list[NBest]:
    notices = Notices()
    records = read_list_records(
        arguments.files, format=arguments.format, options=format_options(arguments), notices=notices
    )
    for line in [*notices.lines(), *map(notice, suspicious_scores(records))]:
        print(f"lorb-load: {line}", file=sys.stderr)
    return [record.nbest for record in records]


def _steps(rate: str, duration_seconds: float | None) -> tuple[Step, ...]:
    if ":" in rate:
        if duration_seconds is not None:
            raise InvalidInput("--rate has steps with their own durations: leave --duration-seconds out")
        return parse_steps(rate)
    try:
        rate_per_second = float(rate)
    except ValueError:
        raise InvalidInput(f"--rate {rate!r} is neither a number nor steps such as 50:30,100:30") from None
    return (Step(rate_per_second, 30.0 if duration_seconds is None else duration_seconds),)


def _options_as_given(arguments: argparse.Namespace) -> dict[str, object]:
    options = {name: value for name, value in vars(arguments).items() if name not in ("json", "hgrm", "quiet")}
    options["files"] = [str(path) for path in arguments.files]
    options["server"] = options.pop(
        "target"
    )  # --target was once named --server; the key in the JSON file keeps the older name
    return options


def parser() -> argparse.ArgumentParser:
    """Returns the parser with all flags."""
    parser = argparse.ArgumentParser(
        prog="lorb-load",
        usage="lorb-load FILE [FILE ...] --target HOST:PORT --rate R [option ...]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="file of lists, plain or gzip, or a folder")
    add_target_argument(parser, "--server")
    add_common_arguments(parser)
    _add_load_arguments(parser)
    _add_call_arguments(parser)
    _add_generator_arguments(parser)
    add_format_arguments(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file, as JSON")
    parser.add_argument("--hgrm", type=Path, metavar="FILE", help="write the latency distribution to this file")
    parser.add_argument("--quiet", action="store_true", help="hide the progress bar, which only terminals show")
    return parser


def _add_load_arguments(parser: argparse.ArgumentParser) -> None:
    load = parser.add_argument_group("load")
    load.add_argument(
        "--rate", required=True, metavar="R", help="calls per second, or steps RATE:SECONDS,... such as 50:30,100:30"
    )
    load.add_argument(
        "--duration-seconds", type=float, metavar="S", help="measured time, if --rate is a number (default: 30)"
    )
    load.add_argument(
        "--warm-up-seconds",
        type=float,
        default=2.0,
        metavar="S",
        help="uncounted load before the measured time (default: 2)",
    )
    load.add_argument(
        "--arrivals",
        choices=[arrivals.value for arrivals in Arrivals],
        default=Arrivals.POISSON.value,
        help="poisson: exponential gaps between calls; constant: equal gaps (default: poisson)",
    )
    load.add_argument(
        "--seed", type=int, default=0, help="equal seeds send the same calls at the same times (default: 0)"
    )


def _add_call_arguments(parser: argparse.ArgumentParser) -> None:
    calls = parser.add_argument_group("calls")
    calls.add_argument(
        "--domains",
        metavar="MIX",
        help='domains and their shares, "a=0.7,b@canary=0.3" (default: the server\'s default domain)',
    )
    calls.add_argument(
        "--hypotheses", type=positive_count, metavar="N", help="send the N best hypotheses of each list (default: all)"
    )
    calls.add_argument(
        "--deadline-seconds", type=float, default=1.0, metavar="S", help="deadline of each call (default: 1)"
    )
    calls.add_argument(
        "--fallback-policy",
        choices=[policy.value for policy in FallbackPolicy],
        default=FallbackPolicy.DEGRADE.value,
        help="if the server has no time or room: degrade rescores fewer hypotheses or none, fail returns an error "
        "(default: degrade)",
    )
    add_access_arguments(calls)


def _add_generator_arguments(parser: argparse.ArgumentParser) -> None:
    generator = parser.add_argument_group("generator")
    generator.add_argument(
        "--connections", type=positive_count, default=4, metavar="N", help="connections of each process (default: 4)"
    )
    generator.add_argument(
        "--processes", type=positive_count, default=1, metavar="N", help="sending processes (default: 1)"
    )
    generator.add_argument(
        "--in-flight-limit",
        type=positive_count,
        default=10_000,
        metavar="N",
        help="maximum number of concurrent calls; calls beyond the limit are counted as not sent (default: 10000)",
    )


if __name__ == "__main__":
    sys.exit(main())

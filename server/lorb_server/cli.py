"""lorb-serve: reads the settings from flags and environment variables, and runs the server."""

import argparse
import dataclasses
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from lorb.errors import LorbError
from lorb_cli.command import add_common_arguments, require_extra
from lorb_server.config import ServeConfig, environment_settings
from lorb_server.file_limit import raise_file_limit
from lorb_server.garbage_collection import without_collections
from lorb_server.setting import ENVIRONMENT_PREFIX, flag, parse_setting

# The groups of --help: the name of each group's first field, and the group's title.
_GROUPS = {
    "base": "base and adapters",
    "host": "address",
    "admin": "admin service, tokens, TLS, quotas",
    "metrics_host": "metrics, processes, connections",
    "device": "model",
    "max_batch_tokens": "batches, queue and deadlines",
    "max_hypotheses": "request limits",
    "drain_seconds": "shutdown",
    "ready_file": "ready file, traces, logs",
}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs lorb-serve, and ends the process: with status 2 if the server cannot start, 1 if it failed, else 0."""
    try:
        config = read_config(arguments, os.environ)
        # Before gRPC is imported. It writes lines of its own to stderr, such as one for each failed TLS handshake, on
        # the threads that answer calls: a reader of stderr that has stalled would stop them.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        raise_file_limit()
        # imported here, because importing torch takes seconds, and --help must answer at once
        with without_collections(), require_extra("lorb-serve", "serve"):
            from lorb_server.app import serve
        from lorb_server.telemetry.logs import configure_logs, log_uncaught_errors

        configure_logs(config.log_format, config.log_level)
        log_uncaught_errors()
        end_process(serve(config))
    except LorbError as error:
        print(f"lorb-serve: {error.message}", file=sys.stderr)
        end_process(2)
    except KeyboardInterrupt:  # Ctrl-C before the server handles signals
        end_process(130)
    except Exception:
        sys.excepthook(*sys.exc_info())
        end_process(1)


def end_process(status: int) -> NoReturn:
    """Ends the process without waiting for its threads: one that reads a hung file system or device never ends."""
    logging.shutdown()  # waits at most a second or two for lines that are not yet written
    os._exit(status)


def read_config(arguments: Sequence[str] | None, environment: Mapping[str, str]) -> ServeConfig:
    """Reads the settings. A flag overrides its environment variable. Raises InvalidInput for an impossible setting."""
    flags = vars(parser().parse_args(arguments))
    return ServeConfig(**{**environment_settings(environment), **flags})


def parser() -> argparse.ArgumentParser:
    """The parser of the command line, with a flag for each setting."""
    command = argparse.ArgumentParser(
        prog="lorb-serve",
        usage="lorb-serve [--store STORE] [--base BASE] [--host HOST] [--port PORT] [option ...]",
        description="Serves N-best rescoring over gRPC with one frozen base model and hot-swapped LoRA adapters.",
        epilog=f"Each flag has an environment variable, such as {ENVIRONMENT_PREFIX}MAX_QUEUE_TOKENS for "
        "--max-queue-tokens. A flag overrides its variable.",
    )
    add_common_arguments(command)
    group = command.add_argument_group("other")
    for field in dataclasses.fields(ServeConfig):
        if field.name in _GROUPS:
            group = command.add_argument_group(_GROUPS[field.name])
        _add_flag(group, field)
    return command


def _add_flag(group: argparse._ArgumentGroup, field: "dataclasses.Field[Any]") -> None:
    text = field.metadata["help"].replace("%", "%%")
    if field.default not in (None, ""):
        text += f" Default: {field.default}."
    if field.type is bool:
        group.add_argument(
            flag(field.name), action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=text
        )
        return
    group.add_argument(
        flag(field.name),
        type=lambda value: _parse_value(field, value),
        default=argparse.SUPPRESS,
        choices=field.metadata["choices"] or None,
        metavar="|".join(field.metadata["choices"]) or field.name.rsplit("_", 1)[-1].upper(),
        help=text,
    )


def _parse_value(field: "dataclasses.Field[Any]", value: str) -> Any:  # noqa: ANN401
    try:
        return parse_setting(field, value, flag(field.name))
    except LorbError as error:
        raise argparse.ArgumentTypeError(error.message) from None


if __name__ == "__main__":
    main()

"""The server's settings: one frozen object, whose fields are the command line's flags and their --help.

A flag overrides its environment variable, whose name is LORB_ and the field's name in capitals; the variable overrides
the default. Impossible settings are refused before anything is loaded.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorb.credential_files import CredentialFile
from lorb_server.config_checks import check_combination
from lorb_server.setting import ENVIRONMENT_PREFIX, check_setting, flag, parse_setting, setting
from lorb_server.settings.access import AccessSettings
from lorb_server.settings.adapters import AdapterSettings
from lorb_server.settings.scoring import ScoringSettings


@dataclass(frozen=True, kw_only=True)
class ServeConfig(ScoringSettings, AccessSettings, AdapterSettings):  # dataclasses lists the last base's fields first
    """All settings of one server. Raises InvalidInput, naming the field, for an impossible setting."""

    max_hypotheses: int = setting(256, "Most hypotheses in a list. A longer list gets INVALID_ARGUMENT.", minimum=1)
    max_transcript_chars: int = setting(
        2000, "Most characters in a transcript. A longer transcript gets INVALID_ARGUMENT.", minimum=1
    )
    max_batch_lists: int = setting(
        256, "Most lists in a BatchRescore call. A larger call gets INVALID_ARGUMENT.", minimum=1
    )
    max_message_bytes: int = setting(
        4 * 1024 * 1024,
        "Largest size of a request. gRPC refuses larger requests with RESOURCE_EXHAUSTED.",
        minimum=1024,
    )

    drain_seconds: float = setting(
        2.0,
        "Time after SIGTERM in which health is NOT_SERVING but calls are still taken, so that load balancers can turn "
        "to other servers.",
        minimum=0,
    )
    grace_seconds: float = setting(5.0, "Time after the drain for calls in flight to finish.", minimum=0)
    ready_file: str = setting(
        "", "File for scripts, written when the server serves: its ports and its process id, as JSON."
    )
    otlp_endpoint: str = setting(
        "",
        "OTLP endpoint for OpenTelemetry traces over gRPC, such as http://collector:4317; needs lorb[otel]. Default: "
        "the variable OTEL_EXPORTER_OTLP_ENDPOINT, else no traces.",
    )
    log_format: str = setting("json", "Format of the log lines on stderr.", choices=("json", "text"))
    log_level: str = setting("info", "Lowest level that is logged.", choices=("debug", "info", "warning", "error"))

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            check_setting(field, getattr(self, field.name))
        settings = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        check_combination(settings, has_tls=self.has_tls, admin_has_tls=self.admin_has_tls)

    @property
    def has_tls(self) -> bool:
        """Whether the port for calls speaks TLS."""
        return bool(self.tls_certificate)

    @property
    def admin_has_tls(self) -> bool:
        """Whether the admin port speaks TLS."""
        return bool(self.admin_tls_certificate or self.tls_certificate)

    def credential_file(self, field: str) -> CredentialFile:
        """The file that the setting `field` names: certificates, a private key, or tokens."""
        return CredentialFile(Path(getattr(self, field)), field, flag(field))


def environment_settings(environment: Mapping[str, str]) -> dict[str, Any]:
    """The settings in `environment`, by field name. Raises InvalidInput, naming the variable, for a wrong value."""
    settings = {}
    for field in dataclasses.fields(ServeConfig):
        variable = ENVIRONMENT_PREFIX + field.name.upper()
        if environment.get(variable):  # "" means not set: compose files pass unset variables as ""
            settings[field.name] = parse_setting(field, environment[variable], variable)
    return settings

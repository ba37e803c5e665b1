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


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig:
    """All settings of one server. Raises InvalidInput, naming the field, for an impossible setting."""

    base: str = setting(
        "auto",
        "The base model: 'minilm', 'rescore-minilm', a folder, or a hub id. 'auto' takes the base that most of the "
        "store's stable versions were trained on, or 'minilm' if there is no stable version. With --trusted-keys, "
        "versions without a trusted signature do not count.",
    )
    store: str = setting(
        "adapters/store",
        "The adapter store: a folder or any fsspec URL. The server writes to it only when an operator sets an alias "
        "through the admin service.",
    )
    default_domain: str = setting(
        "", "The domain of requests that name no domain. Without this setting, such a request is an error."
    )
    allow_pinned_versions: bool = setting(
        False,
        "Let callers ask for any version in the store, as 'name@version', not only for those that aliases point at.",
    )
    preload: bool = setting(
        True,
        "Before serving, load and verify the adapters that aliases point at, up to --max-adapter-bytes. "
        "Otherwise the first call that needs an adapter loads it.",
    )
    max_adapter_bytes: int = setting(
        1024 * 1024 * 1024,
        "Memory for adapters on the device. The least recently used adapters are evicted, and loaded again on demand.",
        minimum=1,
    )
    poll_seconds: float = setting(
        1.0, "Time between checks of the store for changes; a new adapter serves after the next check.", minimum=0.01
    )

    host: str = setting("127.0.0.1", "Address to serve on; 0.0.0.0 means all interfaces.")
    port: int = setting(50051, "Port to serve on; 0 means any free port.", minimum=0)
    admin: bool = setting(True, "Serve the admin service.")
    admin_host: str = setting(
        "127.0.0.1", "Address of the admin service. An address beyond loopback needs --admin-token-file."
    )
    admin_port: int = setting(50061, "Port of the admin service; 0 means any free port.", minimum=0)
    admin_token_file: str = setting(
        "",
        "File of admin tokens. Each line is TOKEN or NAME:TOKEN. All are valid at once, so that you can rotate them. "
        "Callers send 'authorization: Bearer TOKEN'. The file is reloaded when it changes.",
    )
    token_file: str = setting(
        "",
        "File of callers' tokens. Each line is NAME:TOKEN, or a comment that begins with '#'. Calls without a "
        "valid token get UNAUTHENTICATED; health calls need no token. The file is reloaded when it changes.",
    )
    allow_plaintext_tokens: bool = setting(
        False, "Accept tokens without TLS beyond loopback: for a server behind a proxy that terminates TLS."
    )
    tls_certificate: str = setting(
        "",
        "File of this server's certificate and its chain, PEM. --port then accepts TLS only. All certificate and key "
        "files are reloaded when they change, for new connections.",
    )
    tls_key: str = setting("", "File of the certificate's private key, PEM.")
    tls_client_ca: str = setting(
        "", "File of CA certificates, PEM. A connection needs a client certificate that one of them signed."
    )
    admin_tls_certificate: str = setting(
        "", "File of the certificate of --admin-port, PEM. Default: --tls-certificate."
    )
    admin_tls_key: str = setting("", "File of the private key of --admin-tls-certificate, PEM.")
    admin_tls_client_ca: str = setting(
        "",
        "File of CA certificates, PEM. A connection to --admin-port needs a client certificate signed by one of them. "
        "--tls-client-ca does not apply to --admin-port.",
    )
    max_caller_lists: int = setting(
        0,
        "Lists that one caller may have in flight; further lists get RESOURCE_EXHAUSTED. A BatchRescore call with more "
        "lists than this is accepted if its caller has no other list in flight. A caller's name is that of its "
        "token or, if it has no token, that of its certificate. 0 means no limit.",
        minimum=0,
    )
    max_caller_lists_per_second: float = setting(
        0.0,
        "Average number of lists that one caller may send per second. A burst may have as many lists as one second "
        "allows; further lists get RESOURCE_EXHAUSTED. 0 means no limit.",
        minimum=0,
    )
    trusted_keys: str = setting(
        "",
        "File of Ed25519 public keys, PEM. Only versions that one of these keys signed are served. 'lorb-adapters "
        "keygen' creates keys. The file is read once, at the start.",
    )
    metrics_host: str = setting("", "Address of the Prometheus metrics. Default: --host.")
    metrics_port: int = setting(9464, "Port of the Prometheus metrics over HTTP; 0 turns the metrics off.", minimum=0)
    front_processes: int = setting(
        0,
        "Processes that take the calls for the process with the model, on the same port. Use them when Python's gRPC "
        "limits the throughput, as on a GPU. Each connection belongs to one front process, so callers need "
        "several connections. 0 means that the process with the model takes the calls itself.",
        minimum=0,
    )
    max_connection_age_seconds: float = setting(
        600.0,
        "Age of a connection at which its client is asked to reconnect, so that it finds new replicas.",
        minimum=1.0,
    )
    reflection: bool = setting(True, "Serve gRPC reflection, which grpcurl and similar tools use.")

    device: str = setting(
        "auto", "Device of the model; auto takes CUDA if there is a CUDA device.", choices=("auto", "cpu", "cuda")
    )
    dtype: str = setting(
        "auto",
        "Number format of the encoder. auto: bfloat16 on CUDA and on CPUs with AMX or AVX-512 BF16, else float32.",
        choices=("auto", "float32", "bfloat16"),
    )
    cuda_graphs: str = setting(
        "auto",
        "Record small batches as CUDA graphs at the start, so that a small batch takes one launch instead of hundreds. "
        "Recording takes some seconds and some memory; the log reports both. auto: on if the encoder computes in "
        "bfloat16 on CUDA.",
        choices=("auto", "off"),
    )
    threads: int | None = setting(None, "CPU threads of the model. Default: usually all cores.", minimum=1)
    tokenizer_threads: int = setting(2, "Threads that tokenise texts.", minimum=1)

    max_batch_tokens: int | None = setting(
        None,
        "Most tokens in one batch of the model. A larger value gives higher throughput and longer waits. "
        "Default: 8192 on CUDA, 1024 on the CPU, but at most --max-queue-tokens.",
        minimum=1,
    )
    max_pass_seconds: float = setting(
        0.25,
        "Longest predicted duration of a batch of several lists. A larger value gives higher throughput under load, "
        "and longer waits for lists that arrive during the batch.",
        minimum=0.001,
    )
    max_queue_seconds: float = setting(
        5.0,
        "Longest predicted wait of a Rescore list, even if its deadline allows more. If the wait would be longer, the "
        "queue counts as full.",
        minimum=0.001,
    )
    score_cache_bytes: int = setting(
        64 * 1024 * 1024, "Memory for the cache that keeps scores of earlier texts; 0 turns the cache off.", minimum=0
    )
    max_queue_tokens: int = setting(
        32768,
        "Most tokens of Rescore lists that may wait for the model. When the queue is full, calls get the first-pass "
        "order at once, or RESOURCE_EXHAUSTED under the FAIL policy.",
        minimum=1,
    )
    max_bulk_queue_tokens: int = setting(
        1048576,
        "Most tokens of BatchRescore lists that may wait; they yield to Rescore. A token takes about 70 bytes.",
        minimum=1,
    )
    default_deadline_seconds: float = setting(1.0, "Deadline of a Rescore call that sets no deadline.", minimum=0.001)
    default_bulk_deadline_seconds: float = setting(
        60.0, "Deadline of a BatchRescore call that sets no deadline.", minimum=0.001
    )
    deadline_margin_seconds: float = setting(
        0.01,
        "Time before the deadline at which a call is answered, rescored or not, so that the answer arrives in time.",
        minimum=0,
    )

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

    @property
    def metrics_address(self) -> str:
        """The address of the metrics."""
        return self.metrics_host or self.host


def environment_settings(environment: Mapping[str, str]) -> dict[str, Any]:
    """The settings in `environment`, by field name. Raises InvalidInput, naming the variable, for a wrong value."""
    settings = {}
    for field in dataclasses.fields(ServeConfig):
        variable = ENVIRONMENT_PREFIX + field.name.upper()
        if environment.get(variable):  # "" means not set: compose files pass unset variables as ""
            settings[field.name] = parse_setting(field, environment[variable], variable)
    return settings

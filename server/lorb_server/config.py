"""The server's settings: one frozen object. Each field's documentation is the flag's --help.

A setting comes from its flag, else from its environment variable (LORB_ and the name in capitals), else
from its default. A setting that cannot work is refused by name before anything is loaded.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorb.credential_files import CredentialFile
from lorb_server.config_checks import check_together
from lorb_server.setting import ENVIRONMENT_PREFIX, check_setting, flag, parse_setting, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig:
    """All settings of one server. Raises InvalidInput, naming the field, where one cannot work."""

    base: str = setting(
        "auto",
        "The frozen encoder: 'minilm', 'rescore-minilm', a folder, or a hub id. 'auto': the one that most stable "
        "versions of the store were trained on, those alone that a trusted key signed where there are --trusted-keys; "
        "'minilm' where there are none.",
    )
    store: str = setting(
        "adapters/store",
        "Where published adapters are: a folder or any fsspec URL. Only read, "
        "unless an operator flips an alias through the admin service.",
    )
    default_domain: str = setting("", "The domain of requests that name none. Without it such a request is an error.")
    allow_pinned_versions: bool = setting(
        False,
        "Let callers ask for 'name@version': for every version in the store, not only those that an alias points at.",
    )
    preload: bool = setting(
        True,
        "Load and verify the adapters that aliases point at before serving, as many as --max-adapter-bytes holds. "
        "Without it each is loaded by the first call that needs it.",
    )
    max_adapter_bytes: int = setting(
        1024 * 1024 * 1024,
        "Memory for adapters on the device. The least recently used ones leave, and come back when they are needed.",
        least=1,
    )
    poll_seconds: float = setting(
        1.0, "How often the store's generation is read. Longer: new adapters serve later.", least=0.01
    )

    host: str = setting("127.0.0.1", "Address to serve on; 0.0.0.0 for all interfaces.")
    port: int = setting(50051, "Port to serve on; 0 takes a free one.", least=0)
    admin: bool = setting(True, "Serve the admin service.")
    admin_host: str = setting("127.0.0.1", "Address of the admin service. Beyond loopback it needs a token file.")
    admin_port: int = setting(50061, "Port of the admin service; 0 takes a free one.", least=0)
    admin_token_file: str = setting(
        "",
        "File with the admin tokens, one TOKEN or NAME:TOKEN a line (several while you rotate them). "
        "Callers send 'authorization: Bearer TOKEN'. Read again when it changes.",
    )
    token_file: str = setting(
        "",
        "File with the callers' tokens, one NAME:TOKEN a line, '#' begins a comment. Calls without one of them are "
        "UNAUTHENTICATED; health stays open. Read again when it changes.",
    )
    allow_plaintext_tokens: bool = setting(
        False, "Take tokens without TLS beyond loopback: where something in front of this server ends TLS."
    )
    tls_certificate: str = setting(
        "",
        "File with this server's certificate and its chain, PEM. With it --port speaks TLS only. Read again "
        "when it changes, as all of these files are: new connections get the new one.",
    )
    tls_key: str = setting("", "File with the certificate's private key, PEM.")
    tls_client_ca: str = setting(
        "", "File with the CA certificates, PEM, of callers: a connection without a certificate of theirs is refused."
    )
    admin_tls_certificate: str = setting("", "As --tls-certificate, for --admin-port. Default: the same certificate.")
    admin_tls_key: str = setting("", "The private key of --admin-tls-certificate.")
    admin_tls_client_ca: str = setting(
        "", "As --tls-client-ca, for operators. Not that file by default: who may call is not who may operate."
    )
    max_caller_lists: int = setting(
        0,
        "Lists that one caller (its token's name, else its certificate's) may have under way; more is "
        "RESOURCE_EXHAUSTED. A larger batch is taken where it is its caller's only call. 0: no limit.",
        least=0,
    )
    max_caller_lists_per_second: float = setting(
        0.0,
        "Lists that one caller may send a second, on average; a second's worth may come at once. More is "
        "RESOURCE_EXHAUSTED. 0: no limit.",
        least=0,
    )
    trusted_keys: str = setting(
        "",
        "File with Ed25519 public keys, PEM. Only versions that one of them signed serve; "
        "'lorb-adapters keygen' makes keys. Read once, at the start.",
    )
    metrics_host: str = setting("", "Address of the Prometheus metrics. Default: as --host.")
    metrics_port: int = setting(9464, "Port of the Prometheus metrics over HTTP; 0 turns them off.", least=0)
    front_processes: int = setting(
        0,
        "Processes that take the calls, on the same port, before the one with the model: for when Python's gRPC is "
        "the limit, as on a GPU. A connection stays with one of them, so callers need several. 0: this process takes "
        "the calls itself.",
        least=0,
    )
    max_connection_age_seconds: float = setting(
        600.0,
        "How long a connection is kept. Then the client is asked to connect anew, which is when it looks its servers' "
        "names up again and finds replicas that came later.",
        least=1.0,
    )
    reflection: bool = setting(True, "Tell grpcurl and its like what the services are.")

    device: str = setting("auto", "Where the model runs; auto takes CUDA where it is.", choices=("auto", "cpu", "cuda"))
    dtype: str = setting(
        "auto",
        "Numbers the encoder computes in; auto: bfloat16 on CUDA and on a CPU with AMX or AVX-512 BF16, else float32.",
        choices=("auto", "float32", "bfloat16"),
    )
    cuda_graphs: str = setting(
        "auto",
        "Record small passes on CUDA at the start, so that a list alone waits for one launch instead of hundreds. It "
        "costs some seconds there, and memory that the log tells. auto: where the encoder computes in bfloat16.",
        choices=("auto", "off"),
    )
    threads: int | None = setting(
        None, "Threads of one model pass on the CPU. Default: torch's choice, all cores.", least=1
    )
    tokenizer_threads: int = setting(2, "Threads that turn text into tokens, beside the event loop.", least=1)

    max_batch_tokens: int | None = setting(
        None,
        "Tokens in one pass of the model. More: higher throughput, longer "
        "waits. Default: 8192 on CUDA, 1024 on the CPU.",
        least=1,
    )
    max_pass_seconds: float = setting(
        0.25,
        "How long a pass that holds several lists may be predicted to take. Longer: higher throughput under load, "
        "longer waits for whoever comes while it runs.",
        least=0.001,
    )
    max_queue_seconds: float = setting(
        5.0,
        "How long a list may be predicted to wait, however late its deadline. Beyond it: as with a full queue.",
        least=0.001,
    )
    score_cache_bytes: int = setting(
        64 * 1024 * 1024, "Memory for scores of texts seen before; 0 scores every text anew.", least=0
    )
    max_queue_tokens: int = setting(
        32768,
        "Tokens that may wait. When full, calls get first-pass order at once, "
        "or RESOURCE_EXHAUSTED under the FAIL policy.",
        least=1,
    )
    max_bulk_queue_tokens: int = setting(
        1048576,
        "The same for lists of BatchRescore, which wait behind single ones. About 70 bytes of memory a token.",
        least=1,
    )
    default_deadline_seconds: float = setting(1.0, "Deadline of a Rescore call that sets none.", least=0.001)
    default_bulk_deadline_seconds: float = setting(60.0, "Deadline of a BatchRescore call that sets none.", least=0.001)
    deadline_margin_seconds: float = setting(
        0.01,
        "How long before its deadline a call is answered, rescored or not, so that the answer still arrives.",
        least=0,
    )

    max_hypotheses: int = setting(256, "Hypotheses a list may have. More is INVALID_ARGUMENT.", least=1)
    max_transcript_chars: int = setting(2000, "Characters a transcript may have. More is INVALID_ARGUMENT.", least=1)
    max_batch_lists: int = setting(256, "Lists a BatchRescore may have. More is INVALID_ARGUMENT.", least=1)
    max_message_bytes: int = setting(
        4 * 1024 * 1024, "Size of a request. gRPC refuses more with RESOURCE_EXHAUSTED.", least=1024
    )

    drain_seconds: float = setting(
        2.0,
        "After SIGTERM: how long calls are still taken while health says NOT_SERVING, "
        "so that load balancers leave first.",
        least=0,
    )
    grace_seconds: float = setting(5.0, "After that: how long calls in flight may take to finish.", least=0)
    ready_file: str = setting("", "Write the bound ports here, as JSON, once the server serves; for scripts.")
    otlp_endpoint: str = setting(
        "",
        "Send OpenTelemetry traces there by OTLP over gRPC, as http://collector:4317; needs lorb[otel]. Default: what "
        "OTEL_EXPORTER_OTLP_ENDPOINT says, else no traces.",
    )
    log_format: str = setting("json", "How log lines on stderr look.", choices=("json", "text"))
    log_level: str = setting("info", "The least important level logged.", choices=("debug", "info", "warning", "error"))

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            check_setting(field, getattr(self, field.name))
        check_together(self)

    @property
    def has_tls(self) -> bool:
        """Whether callers speak TLS."""
        return bool(self.tls_certificate)

    @property
    def admin_has_tls(self) -> bool:
        """Whether operators do."""
        return bool(self.admin_tls_certificate or self.tls_certificate)

    def credential_file(self, field: str) -> CredentialFile:
        """The file of certificates, a key or tokens that a setting names."""
        return CredentialFile(Path(getattr(self, field)), field, flag(field))

    @property
    def metrics_address(self) -> str:
        """Where metrics are served."""
        return self.metrics_host or self.host


def environment_settings(environment: Mapping[str, str]) -> dict[str, Any]:
    """The settings that `environment` gives, by field name; raises InvalidInput naming the variable."""
    settings = {}
    for field in dataclasses.fields(ServeConfig):
        variable = ENVIRONMENT_PREFIX + field.name.upper()
        if environment.get(variable):  # an empty variable is how compose files leave one unset
            settings[field.name] = parse_setting(field, environment[variable], variable)
    return settings

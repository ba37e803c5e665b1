"""The settings of addresses, credentials, quotas, metrics and connections."""

from dataclasses import dataclass

from lorb_server.setting import setting


@dataclass(frozen=True, kw_only=True)
class AccessSettings:
    """Where the server listens, and who may call it."""

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
        "File of callers' tokens. Each line is NAME:TOKEN, NAME:TOKEN DOMAIN,DOMAIN, or a comment that begins with "
        "'#'. Without domains, a token is for all domains; calls to other domains get PERMISSION_DENIED. Calls without "
        "a valid token get UNAUTHENTICATED; health calls need no token. The file is reloaded when it changes; if it "
        "becomes empty, all calls are refused.",
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
    certificate_domains: str = setting(
        "",
        "File of the domains that client certificates are for. Each line is NAME DOMAIN,DOMAIN, or NAME for all "
        "domains; NAME is the certificate's common name, or without one its first alternative name. Certificates that "
        "are not in the file are for no domain; calls to other domains get PERMISSION_DENIED. Needs --tls-client-ca. "
        "The file is reloaded when it changes.",
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
    metrics_host: str = setting(
        "127.0.0.1",
        "Address of the Prometheus metrics; 0.0.0.0 means all interfaces. They are served in clear text without a "
        "token.",
    )
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

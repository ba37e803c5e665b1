"""lorb_server.rpc.tls: TLS, client certificates, and reloaded certificates on real connections."""

import asyncio
import time

import grpc
import pytest
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lorb.errors import InvalidInput, LorbError, Unauthenticated, Unavailable
from lorb.v1 import admin_pb2, admin_pb2_grpc
from lorb_client import AioClient, Client, Tls
from lorb_client.health import main as health_main
from lorb_server.config import ServeConfig
from lorb_server.rpc.interceptors import check_credential_files
from lorb_server.rpc.tls import CertificateSource, TlsFiles
from lorb_server.telemetry.metrics import Metrics
from support.servers.certificates import Authority, locked_key
from support.servers.counting_proxy import counting_proxy
from support.servers.serving import WAIT_SECONDS, running_server


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of the certificates, with an empty store."""
    folder = tmp_path_factory.mktemp("tls")
    (folder / "store").mkdir()
    return folder


@pytest.fixture(scope="module")
def authority(folder):
    """The authority that servers and callers trust."""
    return Authority(folder, "ca")


@pytest.fixture(scope="module")
def foreign(folder):
    """An authority that neither side trusts."""
    return Authority(folder, "foreign")


def settings(pair, client_ca=None):
    flags = {"tls_certificate": str(pair[0]), "tls_key": str(pair[1])}
    return flags if client_ca is None else {**flags, "tls_client_ca": str(client_ca)}


@pytest.fixture(scope="module")
def mutual(tiny_bert, folder, authority):
    """A server that requires client certificates of callers, and of operators from another authority."""
    flags = settings(authority.issue("server"), authority.path)
    operators = Authority(folder, "operators")
    with running_server(tiny_bert, folder / "store", admin_tls_client_ca=str(operators.path), **flags) as server:
        server.operators = operators
        yield server


def attempted(port, tls, wait_seconds=1.5):
    """One call: its error or None, its number of connections, and that number `wait_seconds` later."""
    with counting_proxy(port) as proxy, Client(proxy.target, timeout_seconds=WAIT_SECONDS, tls=tls) as client:
        try:
            client.server_info()
            ended = None
        except LorbError as error:
            ended = error
        of_call = proxy.connections
        time.sleep(wait_seconds)
        return ended, of_call, proxy.connections


def test_a_caller_with_a_certificate_is_served(mutual, authority):
    """A trusted client certificate is accepted on one connection."""
    assert attempted(mutual.ports.port, Tls(authority.path, *authority.issue("decoder-7")), 0) == (None, 1, 1)


@pytest.mark.parametrize("who", ["plain text", "no certificate", "foreign", "expired"])
def test_a_caller_without_a_valid_certificate_fails_in_the_handshake(mutual, authority, foreign, who):
    """A call without a valid certificate uses one connection; later connections follow gRPC's back-off."""
    tls = {
        "plain text": None,
        "no certificate": Tls(authority.path),
        "foreign": Tls(authority.path, *foreign.issue("decoder-7", file="foreign-caller")),
        "expired": Tls(authority.path, *authority.issue("decoder-7", days=-1, file="expired-caller")),
    }[who]
    error, of_call, after = attempted(mutual.ports.port, tls)
    assert type(error) is Unavailable
    assert "requires TLS" in error.message if tls is None else "client certificate" in error.message
    assert of_call == 1
    assert after <= 3


@pytest.mark.parametrize("who", ["expired", "foreign", "another name"])
def test_an_untrusted_server_is_not_called(tiny_bert, folder, authority, foreign, who):
    """A server with an invalid certificate raises Unauthenticated after one connection."""
    pair = (foreign if who == "foreign" else authority).issue(
        "server", days=-1 if who == "expired" else 30, file=who.replace(" ", "-")
    )
    tls = Tls(authority.path, server_name="elsewhere.example" if who == "another name" else "")
    with running_server(tiny_bert, folder / "store", **settings(pair)) as server:
        error, of_call, after = attempted(server.ports.port, tls)
    assert type(error) is Unauthenticated
    assert "CERTIFICATE_VERIFY_FAILED" in error.message or "Hostname Verification Check failed" in error.message
    assert of_call == 1
    assert after <= 3


def test_the_admin_port_has_its_own_authority(mutual, authority):
    """The admin port refuses a caller's certificate and accepts an operator's."""
    target = f"127.0.0.1:{mutual.ports.admin_port}"

    def listed(tls):
        with grpc.secure_channel(target, tls.credentials()) as channel:
            stub = admin_pb2_grpc.AdapterAdminServiceStub(channel)
            return stub.ListAdapters(admin_pb2.ListAdaptersRequest(), timeout=WAIT_SECONDS)

    assert listed(Tls(authority.path, *mutual.operators.issue("alice"))).generation == 0
    with pytest.raises(grpc.RpcError) as caught:
        listed(Tls(authority.path, *authority.issue("decoder-8")))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_lorb_health_checks_a_server_by_another_name(tiny_bert, folder, authority, monkeypatch):
    """LORB_CLIENT_TLS_SERVER_NAME lets lorb-health check 127.0.0.1 with a certificate for another name."""
    pair = authority.issue("lorb.example", names=x509.SubjectAlternativeName([x509.DNSName("lorb.example")]))
    with running_server(tiny_bert, folder / "store", **settings(pair)) as server:
        check = [f"127.0.0.1:{server.ports.port}"]
        monkeypatch.setenv("LORB_CLIENT_TLS_CA", str(authority.path))
        assert health_main(check) == 1
        monkeypatch.setenv("LORB_CLIENT_TLS_SERVER_NAME", "lorb.example")
        assert health_main(check) == 0


def test_lorb_health_checks_a_server_over_tls(mutual, authority, capsys):
    """lorb-health exits with 0 with the right files, with 1 without them, and with 2 for invalid files."""
    certificate, key = authority.issue("probe")
    files = ["--tls-ca", str(authority.path), "--tls-certificate", str(certificate), "--tls-key", str(key)]
    assert health_main([mutual.target, *files]) == 0
    assert health_main([mutual.target]) == 1
    assert health_main([mutual.target, "--tls-ca", str(key)]) == 2
    assert f"{key}: no CA certificate" in capsys.readouterr().err


def test_new_certificates_serve_without_a_restart(tiny_bert, folder, authority, foreign):
    """New connections get the new certificate, an open one stays, and an unreadable key changes nothing."""
    certificate, key = authority.issue("server", file="rotated")
    new_certificate, new_key = foreign.issue("server", file="new")
    with (
        running_server(tiny_bert, folder / "store", **settings((certificate, key))) as server,
        grpc.secure_channel(server.target, Tls(authority.path).credentials()) as old,
    ):

        def ended(trusted):
            return attempted(server.ports.port, Tls(trusted.path), 0)[0]

        def check():
            health_pb2_grpc.HealthStub(old).Check(health_pb2.HealthCheckRequest(), timeout=WAIT_SECONDS)

        check()
        key.write_text("torn")
        assert ended(authority) is None
        certificate.write_bytes(new_certificate.read_bytes())
        assert ended(authority) is None
        key.write_bytes(new_key.read_bytes())
        assert ended(foreign) is None
        assert type(ended(authority)) is Unauthenticated
        check()


@pytest.mark.parametrize("kind", [Client, AioClient])
def test_a_client_reloads_its_certificate(tiny_bert, folder, kind):
    """The next call uses the new certificate, on a new connection."""
    before, after = Authority(folder, f"before-{kind.__name__}"), Authority(folder, f"after-{kind.__name__}")
    caller, new = before.issue(f"{kind.__name__}-caller"), after.issue(f"new-{kind.__name__}-caller")
    pair = before.issue("server", file=f"{kind.__name__}-server")
    trusted = folder / f"{kind.__name__}-callers.pem"
    trusted.write_bytes(before.path.read_bytes())
    old_files = [path.read_bytes() for path in caller]

    async def asked(client):
        answer = client.server_info()
        return await answer if isinstance(client, AioClient) else answer

    async def play(proxy):
        client = kind(proxy.target, timeout_seconds=WAIT_SECONDS, tls=Tls(before.path, *caller))
        await asked(client)
        assert proxy.connections == 1
        trusted.write_bytes(after.path.read_bytes())
        for path, now in zip(caller, new, strict=True):
            path.write_bytes(now.read_bytes())
        await asked(client)
        assert proxy.connections == 2
        await asked(client)
        assert proxy.connections == 2
        closed = client.close()
        if closed is not None:
            await closed

    with (
        running_server(tiny_bert, folder / "store", **settings(pair, trusted)) as server,
        counting_proxy(server.ports.port) as proxy,
    ):
        asyncio.run(play(proxy))
        for path, content in zip(caller, old_files, strict=True):
            path.write_bytes(content)
        assert type(attempted(server.ports.port, Tls(before.path, *caller), 0)[0]) is Unavailable


def test_unusable_files_are_refused_by_flag_and_name(folder, authority):
    """Missing, invalid, mismatched and encrypted files are refused with the flag and the file name."""
    certificate, key = authority.issue("server", file="named")
    _, other_key = authority.issue("server", file="other")
    nonsense = folder / "nonsense.pem"
    nonsense.write_text("nothing")
    for given, words in [
        (settings((folder / "none.crt", key)), ["--tls-certificate", "none.crt", "No such file"]),
        (settings((certificate, folder / "none.key")), ["--tls-key", "none.key", "No such file"]),
        (settings((certificate, other_key)), ["--tls-certificate", "--tls-key", "do not belong together"]),
        (settings((nonsense, key)), ["--tls-certificate", "nonsense.pem", "not a certificate"]),
        (settings((certificate, nonsense)), ["--tls-key", "nonsense.pem"]),
        (settings((certificate, locked_key(folder / "locked.key"))), ["--tls-key", "locked.key", "encrypted"]),
        (settings((certificate, key), nonsense), ["--tls-client-ca", "nonsense.pem", "no CA certificate"]),
    ]:
        with pytest.raises(InvalidInput) as caught:
            check_credential_files(ServeConfig(**given))
        assert all(word in caught.value.message for word in words), caught.value.message


def test_unchanged_certificates_are_not_given_again(folder, authority):
    """The fetcher returns None while the files have not changed, and changed certificates once."""
    pair, other = authority.issue("server", file="given"), authority.issue("server", file="given-next")
    source = CertificateSource(TlsFiles.of_calls(ServeConfig(**settings(pair))), Metrics().callers)
    assert source._fetch() is None
    for path, new in zip(pair, other, strict=True):
        path.write_bytes(new.read_bytes())
    assert source._fetch() is not None
    assert source._fetch() is None

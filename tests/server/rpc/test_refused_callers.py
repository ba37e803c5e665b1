"""Callers without the required token or certificate are refused once and do not retry."""

import pytest

from lorb.errors import LorbError, Unauthenticated, Unavailable
from lorb_client import Client, Tls, TokenFile
from lorb_client.load.cli import main as load_main
from lorb_client.rescore.cli import main as rescore_main
from support.servers.certificates import Authority
from support.servers.counting_proxy import counting_proxy
from support.servers.serving import WAIT_SECONDS, running_server

LINE = '{"id": "u1", "ref": "the cat", "hyps": [{"text": "the cat", "score": -1}, {"text": "a cat", "score": -2}]}\n'


@pytest.fixture(scope="module", params=[0, 2], ids=["one process", "fronts"])
def secured(request, tiny_bert, shared_store, tmp_path_factory):
    """A server with TLS, client certificates and tokens, in one process and with fronts."""
    folder = tmp_path_factory.mktemp("secured")
    authority, foreign = Authority(folder, "ca"), Authority(folder, "foreign")
    certificate, key = authority.issue("server")
    (folder / "tokens").write_text("kiosk:good\n")
    (folder / "good").write_text("good\n")
    (folder / "wrong").write_text("wrong\n")
    (folder / "lists.jsonl").write_text(LINE)
    files = {
        "tls_certificate": str(certificate),
        "tls_key": str(key),
        "tls_client_ca": str(authority.path),
        "token_file": str(folder / "tokens"),
    }
    with running_server(
        tiny_bert, shared_store.url, front_processes=request.param, default_domain="voice", **files
    ) as server:
        server.folder, server.authority = folder, authority
        server.good = authority.issue("kiosk-7")
        server.expired = authority.issue("kiosk-7", days=-1, file="expired")
        server.foreign = foreign.issue("kiosk-7", file="foreign-kiosk")
        yield server


def files(server, certificate, token):
    """The flags for a certificate and a token."""
    flags = ["--tls-ca", str(server.authority.path)] if certificate else []
    if certificate not in ("none", None):
        own, key = getattr(server, certificate)
        flags += ["--tls-certificate", str(own), "--tls-key", str(key)]
    return flags + (["--token-file", str(server.folder / token)] if token else [])


def rescore(server, target, flags):
    """Runs lorb-rescore on one list."""
    return rescore_main([str(server.folder / "lists.jsonl"), "--target", target, *flags])


def load(server, target, flags):
    """Runs lorb-load for 0.2 s in two processes."""
    quick = ["--rate", "20", "--duration-seconds", "0.2", "--warm-up-seconds", "0", "--deadline-seconds", "20"]
    return load_main([str(server.folder / "lists.jsonl"), "--target", target, *quick, "--processes", "2", *flags])


def refused_calls(server):
    """The number of calls refused for their token, in all processes."""
    if server.app.fronts is None:
        return sum(server.sample("lorb_unauthenticated_calls_total", reason=why) for why in ("no_token", "wrong_token"))
    counted = server.do(server.app.fronts.measure)
    return sum(value for key, value in counted.items() if "lorb_unauthenticated_calls_total" in str(key))


@pytest.mark.parametrize("command", [rescore, load])
def test_a_caller_with_certificate_and_token_is_served(secured, command):
    """Both commands succeed with a valid certificate and token."""
    assert command(secured, secured.target, files(secured, "good", "good")) == 0


@pytest.mark.parametrize("command", [rescore, load])
@pytest.mark.parametrize(("token", "words"), [(None, "needs the metadata"), ("wrong", "does not know the token")])
def test_without_the_token_a_command_ends_after_one_call(secured, command, token, words, capsys):
    """Without a valid token, a command ends after one call with status 2 and the server's message."""
    before = refused_calls(secured)
    assert command(secured, secured.target, files(secured, "good", token)) == 2
    assert words in capsys.readouterr().err
    assert refused_calls(secured) - before == 1


@pytest.mark.parametrize("command", [rescore, load])
@pytest.mark.parametrize("certificate", [None, "none", "expired", "foreign"])
def test_without_the_certificate_a_command_ends_after_one_connection(secured, command, certificate, capsys):
    """Without a valid certificate, a command ends after one failed handshake with status 1."""
    token = None if certificate is None else "good"
    with counting_proxy(secured.ports.port) as proxy:
        assert command(secured, proxy.target, files(secured, certificate, token)) == 1
        assert proxy.connections == 1
    assert "no server answers" in capsys.readouterr().err


@pytest.mark.parametrize("token", [None, "wrong"])
def test_the_library_does_not_retry_unauthenticated_calls(secured, token):
    """The client sends an unauthenticated call once."""
    token_file = None if token is None else TokenFile(secured.folder / token)
    tls = Tls(secured.authority.path, *secured.good)
    before = refused_calls(secured)
    with (
        Client(secured.target, timeout_seconds=WAIT_SECONDS, tls=tls, token=token_file) as client,
        pytest.raises(Unauthenticated),
    ):
        client.server_info()
    assert refused_calls(secured) - before == 1


def test_wait_for_ready_with_a_foreign_certificate_ends_at_the_deadline(secured):
    """With wait_for_ready and a foreign certificate, gRPC reconnects a few times and the call ends at its deadline."""
    tls = Tls(secured.authority.path, *secured.foreign)
    with (
        counting_proxy(secured.ports.port) as proxy,
        Client(proxy.target, timeout_seconds=3.0, tls=tls, wait_for_ready=True) as client,
    ):
        with pytest.raises(LorbError) as caught:
            client.server_info()
        assert not isinstance(caught.value, Unavailable)
        assert 1 <= proxy.connections <= 5

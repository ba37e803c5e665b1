"""lorb_server.rpc.callers: which domains a caller may use, and that it learns nothing of other callers."""

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from lorb.credential_files import CredentialFile
from lorb.error_status import error_from_rpc
from lorb.errors import InvalidInput, PermissionDenied
from lorb.v1 import rescoring_pb2 as pb
from lorb_adapters.store.store import Store
from lorb_client import Client, Tls
from lorb_client.load.cli import main as load_main
from lorb_client.rescore.cli import main as rescore_main
from lorb_server.config import ServeConfig
from lorb_server.rpc.callers import read_certificate_domains
from lorb_server.rpc.tokens import read_tokens
from support.adapters.publications import make_publication
from support.servers.certificates import Authority
from support.servers.serving import WAIT_SECONDS, running_server

LINE = '{"id": "u1", "ref": "the cat", "hyps": [{"text": "the cat", "score": -1}, {"text": "a cat", "score": -2}]}\n'


@pytest.fixture(scope="module")
def two_domains(publishing_base, tmp_path_factory):
    """A store with the domains voice and radio."""
    store = Store(str(tmp_path_factory.mktemp("two-domains")))
    for seed, domain in enumerate(("voice", "radio")):
        store.publish(make_publication(publishing_base, domain, seed=seed), set_stable=True)
    return store


@pytest.fixture(scope="module", params=[0, 2], ids=["one process", "fronts"])
def divided(request, tiny_bert, two_domains, tmp_path_factory):
    """A server whose token `all` is for all domains, `voices` for voice and pets, `radios` for radio."""
    tokens = tmp_path_factory.mktemp("divided") / "tokens"
    tokens.write_text("desk:all\nkiosk:voices voice,pets\ncar:radios radio\n")
    settings = {"token_file": str(tokens), "default_domain": "radio", "allow_pinned_versions": True}
    with running_server(tiny_bert, two_domains.url, front_processes=request.param, **settings) as server:
        server.folder = tokens.parent
        yield server


def bearer(token):
    return (("authorization", f"Bearer {token}"),)


def refusal(server, token, domain):
    """The status of a refused call: its code, message and reason."""
    with pytest.raises(grpc.RpcError) as caught:
        server.rescore("the cat", "a cat", domain=domain, metadata=bearer(token))
    info = ErrorInfo()
    assert rpc_status.from_call(caught.value).details[0].Unpack(info)
    assert (info.domain, info.metadata["field"]) == ("lorb", "domain")
    return caught.value.code(), caught.value.details(), info.reason


def test_a_line_may_name_the_domains_of_a_token(tmp_path):
    """A token is for the domains after it, or for all domains if none follow."""
    tokens = tmp_path / "tokens"
    tokens.write_text("kiosk:one voice,radio\nkiosk:two   base\ncar:three voice, maps.eu\ncar:four\n")
    callers = read_tokens(CredentialFile(tokens, "token_file")).values()
    assert [(caller.name, caller.domains and sorted(caller.domains)) for caller in callers] == [
        ("kiosk", ["radio", "voice"]),
        ("kiosk", ["base"]),
        ("car", ["maps.eu", "voice"]),
        ("car", None),
    ]


def test_a_caller_uses_its_own_domains(divided):
    """Calls to a token's own domains are served, by name, alias and version; a token without domains is for all."""
    versions = {}
    for token, domain in [("all", "voice"), ("all", "radio"), ("voices", "voice"), ("radios", ""), ("radios", "radio")]:
        answer = divided.rescore("the cat", "a cat", domain=domain, metadata=bearer(token))
        versions[answer.adapter.domain] = answer.adapter.version
    assert set(versions) == {"voice", "radio"}
    for suffix in ("stable", versions["voice"]):
        divided.rescore("the cat", "a cat", domain=f"voice@{suffix}", metadata=bearer("voices"))


@pytest.mark.parametrize("domain", ["radio", "maps", "base", "radio@stable", "radio@canary", "maps@1-0123456789ab"])
def test_a_call_to_another_domain_is_denied(divided, domain):
    """A call to a domain that is not the caller's is PERMISSION_DENIED, whether the server serves the domain or not."""
    assert refusal(divided, "voices", domain) == (
        grpc.StatusCode.PERMISSION_DENIED,
        f"caller 'kiosk' may not use domain {domain!r}: name one of the caller's own domains",
        "PERMISSION_DENIED",
    )


def test_the_default_domain_is_denied_without_its_name(divided):
    """A call without a domain is denied if the default is not the caller's, and the message does not name it."""
    code, message, _ = refusal(divided, "voices", "")
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert "radio" not in message


def test_a_domain_of_the_callers_own_that_is_not_served_is_not_found(divided):
    """A domain that is the caller's but has no version is NOT_FOUND, as before."""
    assert refusal(divided, "voices", "pets")[0] is grpc.StatusCode.NOT_FOUND


def test_each_list_of_a_batch_has_its_own_status(divided):
    """In a BatchRescore call, only the lists for other domains are denied."""
    hypotheses = [pb.Hypothesis(transcript=text, first_pass_score=-i) for i, text in enumerate(("the cat", "a cat"))]
    requests = [pb.RescoreRequest(domain=domain, hypotheses=hypotheses) for domain in ("voice", "radio", "maps", "")]
    batch = pb.BatchRescoreRequest(requests=requests)
    answer = divided.stub.BatchRescore(batch, metadata=bearer("voices"), timeout=WAIT_SECONDS)
    denied = grpc.StatusCode.PERMISSION_DENIED.value[0]
    assert [result.error.code for result in answer.results] == [0, denied, denied, denied]


@pytest.mark.parametrize(
    ("token", "domains", "default"),
    [("all", ["radio", "voice"], "radio"), ("voices", ["voice"], ""), ("radios", ["radio"], "radio")],
)
def test_the_server_lists_only_the_callers_domains(divided, token, domains, default):
    """GetServerInfo names only domains that the caller may use, also as the default."""
    info = divided.stub.GetServerInfo(pb.GetServerInfoRequest(), metadata=bearer(token), timeout=WAIT_SECONDS)
    assert (list(info.domains), info.default_domain) == (domains, default)


def test_the_client_and_its_commands_name_the_refusal(divided, capsys):
    """The client raises PermissionDenied; lorb-rescore and lorb-load end with status 2 and the server's message."""
    with Client(divided.target, token="voices", timeout_seconds=WAIT_SECONDS) as client:
        assert client.server_info().domains == ("voice",)
    with pytest.raises(grpc.RpcError) as caught:
        divided.rescore("the cat", domain="radio", metadata=bearer("voices"))
    assert type(error_from_rpc(caught.value)) is PermissionDenied
    (divided.folder / "lists.jsonl").write_text(LINE)
    (divided.folder / "voices").write_text("voices\n")
    flags = ["--target", divided.target, "--token-file", str(divided.folder / "voices")]
    assert rescore_main([str(divided.folder / "lists.jsonl"), "--domain", "radio", *flags]) == 2
    assert "caller 'kiosk' may not use domain 'radio'" in capsys.readouterr().err
    quick = ["--rate", "20", "--duration-seconds", "0.2", "--warm-up-seconds", "0", "--deadline-seconds", "20"]
    assert load_main([str(divided.folder / "lists.jsonl"), "--domains", "radio", *quick, *flags]) == 2
    assert "caller 'kiosk' may not use domain 'radio'" in capsys.readouterr().err


@pytest.mark.parametrize(("is_shared", "front_processes"), [(False, 0), (True, 0), (False, 1)])
def test_a_caller_does_not_hit_anothers_scores(tiny_bert, two_domains, tmp_path, is_shared, front_processes):
    """A text that another caller has sent is scored again, unless --shared-score-cache is given."""
    (tmp_path / "tokens").write_text("kiosk:one\ncar:two\n")
    settings = {"shared_score_cache": is_shared, "front_processes": front_processes}
    settings["token_file"] = str(tmp_path / "tokens")
    with running_server(tiny_bert, two_domains.url, **settings) as server:

        def hits(token):
            before = server.sample("lorb_score_cache_lookups_total", result="hit")
            server.rescore("the cat", "a cat", metadata=bearer(token))
            return server.sample("lorb_score_cache_lookups_total", result="hit") - before

        assert [hits("one"), hits("one"), hits("two"), hits("two")] == [0, 2, 2 if is_shared else 0, 2]


@pytest.fixture(scope="module")
def certified(tiny_bert, two_domains, tmp_path_factory):
    """A server that knows callers by certificates: `Kiosk 7` is for voice, `desk` for all, `car` is not named."""
    folder = tmp_path_factory.mktemp("certified")
    authority = Authority(folder, "ca")
    certificate, key = authority.issue("server")
    (folder / "domains").write_text('# callers\n"Kiosk 7" voice\ndesk\n')
    files = {"tls_certificate": certificate, "tls_key": key, "tls_client_ca": authority.path}
    settings = {name: str(path) for name, path in {**files, "certificate_domains": folder / "domains"}.items()}
    with running_server(tiny_bert, two_domains.url, **settings) as server:
        server.authority = authority
        yield server


@pytest.mark.parametrize(("name", "domains"), [("Kiosk 7", ("voice",)), ("desk", ("radio", "voice")), ("car", ())])
def test_a_certificate_is_for_the_domains_of_its_line(certified, name, domains):
    """A certificate's name decides its domains; a certificate that the file does not name is for none."""
    tls = Tls(certified.authority.path, *certified.authority.issue(name))
    with Client(certified.target, timeout_seconds=WAIT_SECONDS, tls=tls) as client:
        assert client.server_info().domains == domains


def test_a_token_and_a_certificate_must_both_be_for_a_domain(tiny_bert, two_domains, tmp_path):
    """With both, a caller has the token's name and may use the domains that both allow."""
    authority = Authority(tmp_path, "ca")
    certificate, key = authority.issue("server")
    (tmp_path / "domains").write_text("desk voice\nall\n")
    (tmp_path / "tokens").write_text("kiosk:one radio,voice\ncar:two\n")
    files = {"tls_certificate": certificate, "tls_key": key, "tls_client_ca": authority.path}
    more = {"certificate_domains": tmp_path / "domains", "token_file": tmp_path / "tokens"}
    with running_server(tiny_bert, two_domains.url, **{n: str(p) for n, p in {**files, **more}.items()}) as server:
        for name, token, domains in [
            ("desk", "one", ("voice",)),
            ("desk", "two", ("voice",)),
            ("all", "one", ("radio", "voice")),
            ("other", "two", ()),
        ]:
            tls = Tls(authority.path, *authority.issue(name, file=f"{name}-{token}"))
            with Client(server.target, timeout_seconds=WAIT_SECONDS, tls=tls, token=token) as client:
                assert client.server_info().domains == domains


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('"Kiosk 7 voice\n', ":1: a quotation mark is not closed"),
        ("desk\ndesk voice\n", ":2: an earlier line names 'desk' already"),
        ("desk Two words\n", ":1: what follows the name or token is not domains"),
    ],
)
def test_an_invalid_file_of_domains_is_refused(tmp_path, content, words):
    """The error names the flag, the file and the line."""
    (tmp_path / "domains").write_text(content)
    with pytest.raises(InvalidInput) as caught:
        read_certificate_domains(CredentialFile(tmp_path / "domains", "certificate_domains", "--certificate-domains"))
    assert f"--certificate-domains {tmp_path / 'domains'}{words}" in caught.value.message


def test_domains_of_certificates_need_an_authority():
    """--certificate-domains without --tls-client-ca is refused."""
    with pytest.raises(InvalidInput, match="--certificate-domains needs --tls-client-ca"):
        ServeConfig(certificate_domains="domains")

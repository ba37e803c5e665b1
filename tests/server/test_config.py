"""lorb_server.config: the settings of the server, and which of them are possible."""

import dataclasses

import pytest

from lorb.errors import InvalidInput
from lorb_server.config import ServeConfig, environment_settings


def test_every_setting_has_a_help_text():
    """Every field of ServeConfig has a help text."""
    assert all(field.metadata["help"] for field in dataclasses.fields(ServeConfig))


@pytest.mark.parametrize(
    ("field", "settings"),
    [
        ("default_domain", {"default_domain": "../../etc"}),
        ("default_domain", {"default_domain": "Voice"}),
        ("port", {"port": -1}),
        ("port", {"port": 65536}),
        ("admin_port", {"port": 5000, "admin_port": 5000}),
        ("metrics_port", {"port": 9464}),
        ("admin_token_file", {"admin_host": "0.0.0.0"}),
        ("admin_token_file", {"admin_host": "example.org"}),
        ("max_batch_tokens", {"max_batch_tokens": 0}),
        ("max_queue_tokens", {"max_queue_tokens": -5}),
        ("max_queue_tokens", {"max_queue_tokens": 100, "max_batch_tokens": 200}),
        ("default_deadline_seconds", {"default_deadline_seconds": float("nan")}),
        ("default_deadline_seconds", {"default_deadline_seconds": float("inf")}),
        ("deadline_margin_seconds", {"deadline_margin_seconds": 2.0}),
        ("dtype", {"dtype": "float16"}),
        ("device", {"device": "tpu"}),
        ("threads", {"threads": 0}),
        ("threads", {"threads": 2, "workers": 2, "threads_per_worker": 2}),
        ("threads", {"threads": 2, "workers": 3}),
        ("workers", {"workers": 0}),
        ("max_hypotheses", {"max_hypotheses": 0}),
        ("drain_seconds", {"drain_seconds": -0.1}),
        ("log_level", {"log_level": "chatty"}),
    ],
)
def test_impossible_settings_are_refused_by_name(field, settings):
    """The error names the field and its flag."""
    with pytest.raises(
        InvalidInput, match="--" + field.replace("_", "-") if field != "default_domain" else field
    ) as caught:
        ServeConfig(**settings)
    assert caught.value.field == field


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.3.2.1"])
def test_admin_needs_no_token_on_loopback(host):
    """Every spelling of a loopback address is accepted without a token file."""
    assert ServeConfig(admin_host=host).admin_host == host


def test_free_ports_and_ports_of_services_that_are_off_do_not_collide():
    """Port 0 and the port of a disabled admin service are never a conflict."""
    ServeConfig(port=0, admin_port=0, metrics_port=0)
    ServeConfig(port=5000, admin_port=5000, admin=False)


def test_the_environment_gives_settings_of_every_type():
    """Strings, numbers and switches are read from LORB_ variables; other variables are ignored."""
    environment = {
        "LORB_STORE": "s3://bucket/store",
        "LORB_PORT": "1234",
        "LORB_MAX_BATCH_TOKENS": "600",
        "LORB_DRAIN_SECONDS": "0.5",
        "LORB_ADMIN": "no",
        "LORB_UNKNOWN": "x",
        "PATH": "/bin",
    }
    assert environment_settings(environment) == {
        "store": "s3://bucket/store",
        "port": 1234,
        "max_batch_tokens": 600,
        "drain_seconds": 0.5,
        "admin": False,
    }


def test_an_empty_variable_is_no_setting():
    """Empty variables, which compose files pass, are ignored."""
    assert environment_settings({"LORB_PORT": "", "LORB_BASE": ""}) == {}


@pytest.mark.parametrize(
    ("variable", "text"), [("LORB_PORT", "many"), ("LORB_ADMIN", "perhaps"), ("LORB_POLL_SECONDS", "1s")]
)
def test_a_wrong_variable_is_named(variable, text):
    """The error names the variable, not the field."""
    with pytest.raises(InvalidInput, match=f"{variable} is '{text}'"):
        environment_settings({variable: text})


@pytest.mark.parametrize("variable", ["LORB_PORT", "LORB_ADMIN_PORT", "LORB_METRICS_PORT"])
def test_a_variable_that_kubernetes_sets_names_the_way_out(variable):
    """A port that Kubernetes set to the address of a Service is refused with the field of the pod that prevents it."""
    with pytest.raises(InvalidInput, match="Kubernetes sets this .* enableServiceLinks: false in the pod's spec"):
        environment_settings({variable: "tcp://10.96.0.17:50051"})


def test_the_metrics_stay_on_loopback_unless_asked():
    """A server that takes calls from everywhere still serves its metrics on loopback."""
    assert ServeConfig(host="0.0.0.0").metrics_host == "127.0.0.1"


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("tls_key", {"tls_certificate": "c"}),
        ("tls_certificate", {"tls_key": "k"}),
        ("tls_client_ca", {"tls_client_ca": "ca"}),
        ("admin_tls_key", {"admin_tls_certificate": "c"}),
        ("admin_tls_client_ca", {"admin_tls_client_ca": "ca"}),
    ],
)
def test_incomplete_tls_settings_are_refused(field, given):
    """The error names the missing setting, or the one that needs others."""
    with pytest.raises(InvalidInput) as caught:
        ServeConfig(**given)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("token_file", {"host": "0.0.0.0", "token_file": "t"}),
        ("admin_token_file", {"admin_host": "0.0.0.0", "admin_token_file": "t"}),
    ],
)
def test_tokens_in_clear_text_are_refused_beyond_loopback(field, given):
    """Tokens beyond loopback need TLS or --allow-plaintext-tokens."""
    with pytest.raises(InvalidInput, match="clear text") as caught:
        ServeConfig(**given)
    assert caught.value.field == field
    ServeConfig(**given, allow_plaintext_tokens=True)
    ServeConfig(**given, tls_certificate="c", tls_key="k")

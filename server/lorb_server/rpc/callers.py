"""Tells who sends a call, by its token or certificate, and which domains this caller may use."""

import shlex
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace

from lorb.credential_files import CredentialFile
from lorb.errors import InvalidInput, PermissionDenied
from lorb.names import DomainSelector, check_name
from lorb_server.rpc.errors import Context
from lorb_server.rpc.reloaded_files import ReloadedFiles
from lorb_server.telemetry.caller_metrics import CallerMetrics

RELOAD_CHECK_SECONDS = 1.0

Domains = frozenset[str] | None  # None: all domains


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a call.

    Attributes:
        name: the name of its token or, without a token, of its certificate; "" for a caller without either.
        domains: the domains that the caller may use; None for all.
    """

    name: str = ""
    domains: Domains = None

    def may_use(self, domain: str) -> bool:
        """Whether the caller may use a domain, which need not exist."""
        return self.domains is None or domain in self.domains

    def check_domain(self, domain: str, default_domain: str) -> None:
        """Checks a request's domain: "name", "name@alias", "name@version", or "" for `default_domain`.

        Raises PermissionDenied if the caller may not use the domain. The error is the same whether the server serves
        the domain or not. Raises InvalidInput if `domain` is malformed.
        """
        if self.domains is None or not (domain or default_domain):
            return
        if not self.may_use(DomainSelector.parse(domain or default_domain).domain):
            named = f"domain {domain!r}" if domain else "the default domain"
            raise PermissionDenied(
                f"caller {self.name!r} may not use {named}: name one of the caller's own domains", field="domain"
            )


ANYBODY = Caller()

# The caller of the current call's token. gRPC runs each call, interceptors included, in a context of its own.
token_caller: ContextVar[Caller | None] = ContextVar("token_caller", default=None)


def caller_name(context: Context) -> str:
    """The name of the call's token, else of the call's certificate, else ""."""
    caller = token_caller.get()
    return certificate_name(context) if caller is None else caller.name


def certificate_name(context: Context) -> str:
    """The common name of the call's certificate, or without one the first alternative name. "" for no certificate."""
    identity = context.auth_context()
    names = [*identity.get("x509_common_name", ()), *identity.get("x509_subject_alternative_name", ())]
    return names[0].decode("utf-8", errors="replace") if names else ""


def read_certificate_domains(file: CredentialFile) -> Mapping[str, Domains]:
    """Reads which domains the callers with certificates may use, by the certificate's name.

    A line is "NAME domain,domain", or NAME alone for all domains. A name with blanks stands in quotes. Empty lines and
    lines that begin with "#" are skipped.

    Raises InvalidInput, with flag, file and line, if the file is not readable or a line is invalid.
    """
    domains: dict[str, Domains] = {}

    def add(line: str) -> None:
        try:
            name, *rest = shlex.split(line)
        except ValueError:
            raise InvalidInput("a quotation mark is not closed") from None
        if name in domains:
            raise InvalidInput(f"an earlier line names {name!r} already")
        domains[name] = parse_domains(" ".join(rest))

    file.parse_lines(add)
    return domains


def parse_domains(text: str) -> Domains:
    """The domains in "domain,domain"; all domains for "". Raises InvalidInput, which does not quote the text."""
    if not text:
        return None
    try:
        return frozenset(check_name(name.strip(), "domain") for name in text.split(","))
    except InvalidInput:
        raise InvalidInput("what follows the name or token is not domains with commas, such as 'voice,radio'") from None


class Callers:
    """Identifies the callers of this process."""

    def __init__(
        self, certificate_domains: CredentialFile | None, metrics: CallerMetrics, *, have_certificates: bool
    ) -> None:
        """`certificate_domains` names the domains of each certificate; without it, certificates may use all domains.

        Without `have_certificates`, callers have no certificates, and only tokens name them. While the file has never
        been usable, no caller may use a domain.
        """
        self._have_certificates = have_certificates
        self._domains: ReloadedFiles[Mapping[str, Domains]] | None = None
        if (file := certificate_domains) is not None:
            self._domains = ReloadedFiles(
                [file],
                lambda: read_certificate_domains(file),
                metrics,
                check_seconds=RELOAD_CHECK_SECONDS,
                refuse_all={},
            )

    async def of_call(self, context: Context) -> Caller:
        """The caller. With a token and a certificate, it may use the domains that both allow."""
        caller = token_caller.get() or (Caller(certificate_name(context)) if self._have_certificates else ANYBODY)
        if self._domains is None:
            return caller
        of_certificates = await self._domains.latest_async()
        allowed = of_certificates.get(certificate_name(context), frozenset[str]())
        if allowed is None or caller.domains is None:
            return replace(caller, domains=allowed if caller.domains is None else caller.domains)
        return replace(caller, domains=caller.domains & allowed)

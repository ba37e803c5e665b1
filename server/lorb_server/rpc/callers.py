"""Who a call comes from: the name of its token, else that of its certificate."""

from contextvars import ContextVar

from lorb_server.rpc.errors import Context

MAX_NAME_CHARS = 64

# Each call runs in a context of its own, from its interceptors to its end.
_token_name: ContextVar[str] = ContextVar("token_name", default="")


def note_token(name: str) -> None:
    """Says that the call under way carries the token of this name."""
    _token_name.set(name)


def caller_name(context: Context) -> str:
    """The name of the call's token, else its certificate's common or first alternative name; empty without either."""
    if name := _token_name.get():
        return name
    identity = context.auth_context()
    names = [*identity.get("x509_common_name", ()), *identity.get("x509_subject_alternative_name", ())]
    return names[0].decode("utf-8", errors="replace")[:MAX_NAME_CHARS] if names else ""

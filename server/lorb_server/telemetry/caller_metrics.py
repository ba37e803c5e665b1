"""What the server counts about callers, by name as far as there are not too many."""

from prometheus_client import CollectorRegistry, Counter

MAX_CALLERS = 100
OTHERS = "others"


class CallerMetrics:
    """The series about callers. Names come from the token file or from certificates, never from a request."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lists = Counter(
            "lorb_caller_lists",
            f"Lists by caller, admitted or limited; callers beyond the first {MAX_CALLERS} are '{OTHERS}'.",
            ("caller", "result"),
            registry=registry,
        )
        self._turned_away = Counter(
            "lorb_unauthenticated_calls",
            "Calls turned away for want of a token (no_token) or with one that is nobody's (wrong_token).",
            ("reason",),
            registry=registry,
        )
        self._known: set[str] = set()

    def admitted(self, caller: str, num_lists: int) -> None:
        """Notes lists that a caller may have scored."""
        self._lists.labels(self._label(caller), "admitted").inc(num_lists)

    def limited(self, caller: str, num_lists: int) -> None:
        """Notes lists of a caller who has too many already."""
        self._lists.labels(self._label(caller), "limited").inc(num_lists)

    def turned_away(self, reason: str) -> None:
        """Notes a call without a token of ours."""
        self._turned_away.labels(reason).inc()

    def _label(self, caller: str) -> str:
        if caller not in self._known and len(self._known) >= MAX_CALLERS:
            return OTHERS
        self._known.add(caller)
        return caller

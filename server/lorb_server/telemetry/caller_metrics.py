"""Declares the metrics about callers, with a bounded number of caller names."""

from prometheus_client import CollectorRegistry, Counter

MAX_CALLERS = 100
MAX_NAME_CHARS = 64
OTHERS = "others"


class CallerMetrics:
    """The metrics by caller. Callers' names come from the token file or from certificates, never from a request."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lists = Counter(
            "lorb_caller_lists",
            f"Lists by caller and result: admitted or limited. Callers beyond the first {MAX_CALLERS} are '{OTHERS}'.",
            ("caller", "result"),
            registry=registry,
        )
        self._unauthenticated = Counter(
            "lorb_unauthenticated_calls",
            "Calls refused because of their token, by reason: no_token (no token), wrong_token (an unknown token) or "
            "several_tokens (more than one authorization header).",
            ("reason",),
            registry=registry,
        )
        self._credential_errors = Counter(
            "lorb_credential_errors",
            "Checks of a changed credential file that failed, by reason: unusable or hung; its previous content stays "
            "in use, and a front process that starts again refuses all calls.",
            ("setting", "reason"),
            registry=registry,
        )
        self._known: set[str] = set()

    def count_admitted(self, caller: str, num_lists: int) -> None:
        """Counts lists that were within the caller's quotas."""
        self._lists.labels(self._label(caller), "admitted").inc(num_lists)

    def count_limited(self, caller: str, num_lists: int) -> None:
        """Counts lists that were refused because of the caller's quotas."""
        self._lists.labels(self._label(caller), "limited").inc(num_lists)

    def count_unauthenticated(self, reason: str) -> None:
        """Counts a call refused for its token; `reason` is "no_token", "wrong_token" or "several_tokens"."""
        self._unauthenticated.labels(reason).inc()

    def count_credential_error(self, setting: str, reason: str) -> None:
        """Counts a check of the files of `setting` that failed; `reason` is "unusable" or "hung"."""
        self._credential_errors.labels(setting, reason).inc()

    def _label(self, caller: str) -> str:
        caller = caller[:MAX_NAME_CHARS]
        if caller not in self._known and len(self._known) >= MAX_CALLERS:
            return OTHERS
        self._known.add(caller)
        return caller

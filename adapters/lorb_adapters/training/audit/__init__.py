"""What is suspicious about a run's lists, told before anything is trained on them."""

from lorb_adapters.training.audit.audit import Audit
from lorb_adapters.training.audit.finding import Finding, Severity

__all__ = ["Audit", "Finding", "Severity"]

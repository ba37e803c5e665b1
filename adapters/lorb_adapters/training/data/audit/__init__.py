"""What is suspicious about a run's lists, told before anything is trained on them."""

from lorb_adapters.training.data.audit.audit import FACT_COLUMNS, FINDING_COLUMNS, NOTHING_FOUND, Audit
from lorb_adapters.training.data.audit.finding import Finding, Severity

__all__ = ["FACT_COLUMNS", "FINDING_COLUMNS", "NOTHING_FOUND", "Audit", "Finding", "Severity"]

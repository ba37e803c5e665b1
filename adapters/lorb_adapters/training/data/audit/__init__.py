"""Audits the lists of a run for suspicious scores, references and duplicates before training."""

from lorb_adapters.training.data.audit.audit import FACT_COLUMNS, FINDING_COLUMNS, NOTHING_FOUND, Audit
from lorb_adapters.training.data.audit.finding import Finding, Severity

__all__ = ["FACT_COLUMNS", "FINDING_COLUMNS", "NOTHING_FOUND", "Audit", "Finding", "Severity"]

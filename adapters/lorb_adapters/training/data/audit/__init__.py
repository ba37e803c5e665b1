"""Audits the lists of a run for suspicious scores, references and duplicates before training."""

from lorb.finding import Finding, Severity
from lorb_adapters.training.data.audit.audit import FACT_COLUMNS, FINDING_COLUMNS, NOTHING_FOUND, Audit

__all__ = ["FACT_COLUMNS", "FINDING_COLUMNS", "NOTHING_FOUND", "Audit", "Finding", "Severity"]

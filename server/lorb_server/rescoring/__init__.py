"""Rescoring of one N-best list, and comparisons with shadow adapters."""

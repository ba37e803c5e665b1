"""Bases of fewer layers, each taught by lorb-build-base, and adapters on them: the measures of table 6."""

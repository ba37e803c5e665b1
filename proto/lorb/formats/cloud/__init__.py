"""Readers of the results of cloud speech services."""

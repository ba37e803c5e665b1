"""Frozen bases: their names, loading, writing and fingerprints."""

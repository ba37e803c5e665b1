"""Frozen bases: loading, fingerprints, names, writing."""

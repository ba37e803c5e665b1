"""Parsing shared by the readers: lines, keyed lines, JSON, values, token marks, names from files."""

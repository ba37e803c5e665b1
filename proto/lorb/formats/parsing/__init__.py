"""Parsing shared by the readers: lines, JSON, scores, names."""

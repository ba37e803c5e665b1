"""Readers of the N-best formats of speech toolkits."""

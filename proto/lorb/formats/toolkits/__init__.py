"""Readers of the N-best lists that speech toolkits write."""

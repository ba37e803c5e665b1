"""Trains adapters on N-best lists with references. The server never imports this package."""

"""Chooses the adapter versions that serve: follows the aliases in the store, verifies versions, and routes calls."""

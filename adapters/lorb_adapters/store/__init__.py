"""The adapter store: published versions, aliases, signatures."""

"""The lists of a run: files, audit, encoding, and first-pass statistics."""

"""The training data: read, audited, encoded."""

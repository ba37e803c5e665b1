"""The training objectives of a base."""

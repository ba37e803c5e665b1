"""The text that a base is trained on, and its corruption."""

"""The encoder with gradients."""

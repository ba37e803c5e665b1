"""The encoder with gradients: forward pass, attention, dropout and the cache of frozen layers."""

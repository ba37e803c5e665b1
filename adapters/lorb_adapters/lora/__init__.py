"""LoRA adapters and score heads: configuration and weights."""

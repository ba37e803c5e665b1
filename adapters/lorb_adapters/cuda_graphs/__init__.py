"""Scores small batches by replaying CUDA graphs."""

"""Small batches replayed as CUDA graphs."""

"""The threads that score batches, the work that they share, and the watch over them."""

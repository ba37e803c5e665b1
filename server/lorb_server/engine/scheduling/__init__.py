"""Which lists wait for the model, and which go into its next batch."""

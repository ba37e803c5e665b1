"""Making a RescoreBERT base: an encoder that knows which words of a transcript are wrong before it has seen a list."""

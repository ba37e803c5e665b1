"""Pretraining of a base: trains an encoder with a score head on plain text (RescoreBERT)."""

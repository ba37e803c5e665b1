"""Pretraining of a base: an encoder whose score head judges text before any list is seen (RescoreBERT)."""

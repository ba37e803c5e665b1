"""The packed encoder: BERT layers over hypotheses without padding, with LoRA."""

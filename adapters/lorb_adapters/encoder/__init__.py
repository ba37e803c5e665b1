"""The packed encoder: BERT layers over rows without padding, with LoRA."""

"""What an adapter learned, against what full fine-tuning learned: the measures of table 8."""

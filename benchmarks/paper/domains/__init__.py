"""Many domains in one process: adapters on one base against a fine-tuned model each, the measures of table 7."""

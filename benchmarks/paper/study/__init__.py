"""The study: harness, lists, training, statistics and pages; a folder for each table with measurements of its own."""

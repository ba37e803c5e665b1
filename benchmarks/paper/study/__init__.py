"""What the tables of the study share: cells, their records, the processes that do them, figures and pages."""

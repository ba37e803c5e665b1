"""Reports of training runs: report.json, the pages rendered from it, and comparisons of runs."""

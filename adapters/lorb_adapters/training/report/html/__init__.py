"""Pages to look at, each one file that needs no other: a run's report, and several runs side by side."""

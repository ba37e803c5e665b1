"""The study's harness, lists, training, statistics and pages, and the measurements of single tables."""

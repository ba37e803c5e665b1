"""The command `lorb-rescore`: rescores files of N-best lists."""

"""The commands `lorb-adapters` and `lorb-base-delta`."""

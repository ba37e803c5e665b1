"""The commands `lorb-train-adapter` and `lorb-compare`."""

"""The command `lorb-rescore`."""

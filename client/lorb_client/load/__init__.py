"""The command `lorb-load`: an open-loop load generator."""

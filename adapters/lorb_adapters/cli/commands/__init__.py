"""The subcommands of `lorb-adapters`, with one module for each group."""

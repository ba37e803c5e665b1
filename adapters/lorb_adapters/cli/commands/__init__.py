"""The subcommands of `lorb-adapters`, one module a group."""

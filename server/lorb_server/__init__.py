"""The server, `lorb-serve`. Never imports `lorb_adapters.training`."""

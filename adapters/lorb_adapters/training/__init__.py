"""Making adapters from N-best lists with references. The server never imports this."""

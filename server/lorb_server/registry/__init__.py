"""Which adapter versions serve, in step with the store."""

"""Which adapter versions serve, kept in step with the store."""

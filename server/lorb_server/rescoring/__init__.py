"""From one N-best list to its ranking."""

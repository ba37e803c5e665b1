"""The adapter versions that serve; follows the aliases in the store."""

"""Keeps lists of a lower priority from starving: waiting earns them tokens, which they may take before other lists."""

# While lists wait, each batch adds the token budget, divided by this number, to their credit. So they get at least
# 1 token of 8, however many other lists wait.
CREDIT_DIVISOR = 8


class Credit:
    """The tokens that the waiting lists of one priority may take before interactive lists.

    Attributes:
        tokens: the credit.
    """

    def __init__(self) -> None:
        self.tokens = 0

    def earn(self, max_batch_tokens: int, *, is_waiting: bool) -> None:
        """Adds to the credit after a batch was taken. With no list waiting, the credit is lost."""
        self.tokens = self.tokens + max(1, max_batch_tokens // CREDIT_DIVISOR) if is_waiting else 0

    def spend(self, tokens: int) -> None:
        """Takes from the credit; it may become negative."""
        self.tokens -= tokens

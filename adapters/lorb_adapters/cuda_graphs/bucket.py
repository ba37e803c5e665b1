"""The sizes that captured passes come in."""

from dataclasses import dataclass

LONGEST_ROW = 128  # tokens; the attention kernel takes as long for any row up to this


@dataclass(frozen=True, slots=True)
class GraphBucket:
    """What one captured pass has room for.

    Attributes:
        tokens: that it always reads, those that fill it up included.
        rows: that it may score.
        longest: tokens that a row may have.
    """

    tokens: int
    rows: int
    longest: int = LONGEST_ROW

    @property
    def spare_rows(self) -> int:
        """Rows for the tokens that fill a pass up, of which none may be longer than others may."""
        return -(-self.tokens // self.longest)

    def holds(self, tokens: int, rows: int, longest: int) -> bool:
        """Whether a pass of so much fits."""
        return tokens <= self.tokens and rows <= self.rows and longest <= self.longest


def shapes_up_to(max_tokens: int) -> tuple[GraphBucket, ...]:
    """All shapes of passes with `max_tokens` at most, the largest first.

    From 256 tokens on, each has room for half as much again as the one before at most: what fills a pass up is computed
    like the rest. The larger a pass, the less its launches matter.
    """
    sizes = (2048, 1536, 1024, 768, 512, 384, 256, 128)
    return tuple(GraphBucket(tokens, rows=tokens // 8) for tokens in sizes if tokens <= max_tokens)

"""A cell's work that takes no time: for tests of the study's harness, whose processes get it by pickle."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FakeWork:
    """Returns its number; fails `failures` times first, which a file in the scratch folder counts."""

    number: int = 0
    failures: int = 0

    def settings(self) -> dict[str, Any]:
        """As Work has it."""
        return {"number": self.number}

    def command(self) -> str:
        """As Work has it."""
        return f"fake {self.number}"

    def run(self, context) -> dict[str, Any]:
        """As Work has it."""
        tries = context.scratch / "tries"
        done = int(tries.read_text()) if tries.exists() else 0
        tries.write_text(str(done + 1))
        if done < self.failures:
            raise RuntimeError(f"failed on purpose\nat try {done + 1}")
        return {"number": self.number}

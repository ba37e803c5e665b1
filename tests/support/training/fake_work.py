"""Work of a study cell that takes no time, for tests of the harness; importable, because processes unpickle it."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FakeWork:
    """Returns its number after `failures` failures, which a file in the scratch folder counts."""

    number: int = 0
    failures: int = 0

    def settings(self) -> dict[str, Any]:
        """The settings that identify the cell."""
        return {"number": self.number}

    def command(self) -> str:
        """The command that the page shows."""
        return f"fake {self.number}"

    def run(self, context) -> dict[str, Any]:
        """Fails or returns the figures."""
        tries = context.scratch / "tries"
        done = int(tries.read_text()) if tries.exists() else 0
        tries.write_text(str(done + 1))
        if done < self.failures:
            raise RuntimeError(f"failed on purpose\nat try {done + 1}")
        return {"number": self.number}

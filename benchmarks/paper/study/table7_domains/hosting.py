"""A cell that hosts many domains in one process and measures memory, loading and scoring."""

from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.harness.cell import CellContext
from study.lists.sets import Lists

if TYPE_CHECKING:  # torch takes seconds to import
    from torch import Tensor

    from study.table7_domains.peers import DomainRows

PUBLISHED = "published"  # folder of adapters and models, shared by all cells
_ROUNDS = 3
_MAX_ROW_TOKENS = 512  # MiniLM's


@dataclass(frozen=True, slots=True)
class Hosting:
    """Loads the domains, scores one list for each, measures memory, and times the scoring of all lists.

    Memory-mapped files become resident only when read, so every weight is read before memory is measured.

    Attributes:
        peer: a name of `peers.PEERS`.
        num_domains: number of domains.
        lists: the lists to score, assigned to the domains in turn; at least as many as domains.
        run_number: number of the repetition.
    """

    peer: str
    num_domains: int
    lists: Lists
    run_number: int = 0

    def settings(self) -> dict[str, Any]:
        """The settings that decide the result."""
        return {"hosting": asdict(self)}

    def command(self) -> str:
        """The command that does the same by hand."""
        return f"python benchmarks/paper/table7.py --only {self.peer}-domains{self.num_domains}"

    def run(self, context: CellContext) -> dict[str, Any]:
        """Runs the cell and returns its figures."""
        from lorb_adapters.process_memory import keep_freed_pages
        from study.table7_domains.peers import PEERS
        from study.table7_domains.process_memory import Resident
        from study.table7_domains.published_models import ensure_published
        from study.table7_domains.stopwatch import Stopwatch

        folder = context.scratch.parent / PUBLISHED
        ensure_published(folder)
        lists = self._rows(context)
        import_module("transformers.models.bert.modeling_bert")  # transformers would import it with the first model
        empty = Resident.now()
        peer = PEERS[self.peer](folder)
        loading, passing = Stopwatch(), Stopwatch()
        for number in range(self.num_domains):
            loading.time(lambda number=number: peer.load(number))  # type: ignore[misc]
        for each in lists[: self.num_domains]:
            peer.score([each])
        weights_bytes = sum(_read(tensor) for tensor in peer.weights())
        held = Resident.now() - empty
        if self.peer != "plain":
            keep_freed_pages()  # as lorb-serve does
            peer.score(lists)  # warms up
            for _ in range(_ROUNDS):
                passing.time(lambda: peer.score(lists))
        return {
            "memory_bytes": asdict(held) | {"weights": weights_bytes},
            "disk_bytes": self._disk_bytes(folder),
            "loading": loading.to_json(),
            "passes": passing.to_json()
            | {"lists": len(lists), "tokens": sum(row.num_tokens for each in lists for row in each.rows)},
        }

    def _rows(self, context: CellContext) -> "list[DomainRows]":
        from tokenizers import Tokenizer

        from lorb.formats import read_nbest_lists
        from lorb_adapters.base.named import MINILM, base_source
        from lorb_adapters.text import TextEncoder, TextNormalization
        from study.table7_domains.peers import DomainRows

        tokenizer = Tokenizer.from_file(str(Path(base_source(MINILM)) / "tokenizer.json"))  # the same for all peers
        encoder = TextEncoder(tokenizer, max_tokens=_MAX_ROW_TOKENS)
        assigned = []
        for number, nbest in enumerate(read_nbest_lists([self.lists.path(context.sets)])):
            texts = [each.transcript for each in nbest.distinct()]
            rows = encoder.encode(texts, "", TextNormalization(), uses_context=False)
            assigned.append(DomainRows(number % self.num_domains, tuple(rows)))
        return assigned

    def _disk_bytes(self, folder: Path) -> int:
        """The size of the files that the peer reads, the base included."""
        from lorb_adapters.base.named import MINILM, RESCORE_MINILM, base_source
        from study.table7_domains.published_models import domain_name, full_model

        if self.peer != "adapters":
            return sum(_size(full_model(folder, number)) for number in range(self.num_domains))
        stored = sum(_size(folder / "store" / domain_name(number)) for number in range(self.num_domains))
        return stored + sum(_size(Path(base_source(name))) for name in (MINILM, RESCORE_MINILM))


def _read(weights: "Tensor") -> int:
    """Reads a tensor; returns its size in bytes."""
    weights.sum()
    return weights.numel() * weights.element_size()


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

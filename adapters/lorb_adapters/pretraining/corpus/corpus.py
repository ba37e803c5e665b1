"""What a run reads: sentences, the recogniser's confusions and hypotheses, and dev."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from lorb.errors import InvalidInput
from lorb.formats import Notices
from lorb.nbest import NBest
from lorb_adapters.pretraining.config import BuildConfig
from lorb_adapters.pretraining.corpus.confusions import Confusions
from lorb_adapters.pretraining.corpus.corruption import Corruptor
from lorb_adapters.pretraining.corpus.files import BuildFiles
from lorb_adapters.pretraining.corpus.near_words import NearWords
from lorb_adapters.pretraining.corpus.sentences import Sentences, text_lines
from lorb_adapters.training.progress import TrainingProgress


@dataclass(frozen=True, slots=True)
class Corpus:
    """All that a run learns from, and what it is measured on.

    Attributes:
        sentences: of the text, and the references of `lists`.
        confusions: learnt from `lists`.
        corruptor: by these and by the text's words.
        lists: of the recogniser; none of them stands in dev.
        dev: for the figures at the end.
        num_overlapping: lists left out because they stand in dev.
    """

    sentences: Sentences
    confusions: Confusions
    corruptor: Corruptor
    lists: Sequence[NBest]
    dev: Sequence[NBest]
    num_overlapping: int

    @classmethod
    def read(cls, files: BuildFiles, config: BuildConfig, folder: Path, progress: TrainingProgress) -> "Corpus":
        """Reads all files. folder: of the run, for the text. Raises InvalidInput or MalformedFile."""
        notices = Notices()
        lists, dev = files.read(files.confusions, notices), files.read(files.dev, notices)
        for notice in notices.lines():
            progress.say(notice)
        if len(dev) == 1:
            raise InvalidInput("dev is one list: each half of dev is ranked with the weight of the other", field="dev")
        in_dev = {nbest.id for nbest in dev}
        kept = [nbest for nbest in lists if nbest.id not in in_dev]
        confusions = Confusions.learn(kept, config.normalization)

        def report(count: int) -> None:
            if count % 200_000 == 0 and count:
                progress.say(f"read {count:,} lines of text")

        sentences = Sentences.collect(
            chain(text_lines(files.text), (nbest.reference or "" for nbest in kept)),
            folder,
            config,
            kept_out={config.normalization.apply(nbest.reference or "") for nbest in dev},
            report=report,
        )
        corruptor = Corruptor(NearWords(sentences.word_counts), confusions, config)
        material = cls(sentences, confusions, corruptor, kept, dev, len(lists) - len(kept))
        progress.say("  ".join(f"{count:,} {name}" for name, count in material.counts().items()))
        return material

    def counts(self) -> dict[str, int]:
        """What there is of everything, by name."""
        dropped = self.sentences.dropped
        return {
            "sentences to train on": len(self.sentences),
            "words": self.sentences.word_counts.total(),
            "distinct words": len(self.sentences.word_counts),
            **{f"sentences {reason}": count for reason, count in sorted(dropped.items())},
            "confusions counted": self.confusions.counts.total(),
            "distinct confusions": len(self.confusions.counts),
            "lists for confusions left out, they stand in dev": self.num_overlapping,
            "dev lists": len(self.dev),
        }

"""The training data of a base: sentences, the recogniser's confusions and lists, and dev lists."""

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
from lorb_adapters.pretraining.corpus.sentences import Sentences, text_lines
from lorb_adapters.pretraining.corpus.similar_words import SimilarWords
from lorb_adapters.training.progress import TrainingProgress

_LINES_PER_LOG = 200_000


@dataclass(frozen=True, slots=True)
class Corpus:
    """The training and evaluation data of a run.

    Attributes:
        sentences: the text's sentences and the references of `lists`.
        confusions: the recogniser's confusions, counted on `lists`.
        corruptor: corrupts sentences with `confusions` and with words of the text.
        lists: the recogniser's lists, without those whose id is in dev.
        dev: lists to measure the result on.
        num_overlapping: number of lists left out because dev has their id.
    """

    sentences: Sentences
    confusions: Confusions
    corruptor: Corruptor
    lists: Sequence[NBest]
    dev: Sequence[NBest]
    num_overlapping: int

    @classmethod
    def read(cls, files: BuildFiles, config: BuildConfig, folder: Path, progress: TrainingProgress) -> "Corpus":
        """Reads all files and stores the sentences in `folder`.

        Raises MalformedFile if a file is malformed, and InvalidInput if the text has too few sentences or dev has only
        one list.
        """
        notices = Notices()
        lists, dev = files.read(files.confusions, notices), files.read(files.dev, notices)
        for notice in notices.lines():
            progress.log(notice)
        if len(dev) == 1:
            raise InvalidInput(
                "dev has only one list, but each half of dev is ranked with the weight tuned on the other half: "
                "give more lists",
                field="dev",
            )
        dev_ids = {nbest.id for nbest in dev}
        kept = [nbest for nbest in lists if nbest.id not in dev_ids]
        confusions = Confusions.from_lists(kept, config.normalization)

        def report(num_lines: int) -> None:
            if num_lines % _LINES_PER_LOG == 0 and num_lines:
                progress.log(f"read {num_lines:,} lines of text")

        sentences = Sentences.collect(
            chain(text_lines(files.text), (nbest.reference or "" for nbest in kept)),
            folder,
            config,
            excluded={config.normalization.apply(nbest.reference or "") for nbest in dev},
            report=report,
        )
        corruptor = Corruptor(SimilarWords(sentences.word_counts), confusions, config)
        corpus = cls(sentences, confusions, corruptor, kept, dev, len(lists) - len(kept))
        progress.log("  ".join(f"{count:,} {name}" for name, count in corpus.counts().items()))
        return corpus

    def counts(self) -> dict[str, int]:
        """Counts of sentences, words, confusions and lists, by their names in report.json."""
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

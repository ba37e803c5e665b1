"""The sample files in data/formats, as the real tools write them, and helpers to read them."""

from dataclasses import dataclass, field
from pathlib import Path

from lorb.formats import FormatOptions, Notices, read_list_records

FOLDER = Path(__file__).parents[2] / "data" / "formats"


@dataclass(frozen=True)
class Sample:
    """A sample file or folder of a format, with the reader options that it needs."""

    format: str
    place: str
    options: dict = field(default_factory=dict)

    def __str__(self):
        """The id of its test case."""
        return self.place.replace("/", "-")

    @property
    def path(self):
        """The path of the sample."""
        return FOLDER / self.place

    def read(self, path=None, **arguments):
        """Returns the records and notices of the sample, or of a copy at `path`."""
        notices = Notices()
        options = FormatOptions(**self.options)
        records = read_list_records([path or self.path], options=options, notices=notices, **arguments)
        return records, notices.lines()


KALDI = {"acoustic_scale": 0.1}
SAMPLES = (
    Sample("native", "native/lists.jsonl"),
    Sample("native", "native/lists.jsonl.gz"),
    Sample("mlm-scoring", "mlm_scoring/dev-other.am.json"),
    Sample("hyporadise", "hyporadise/test_ls_other.json"),
    Sample("espnet1", "espnet1/data.json"),
    Sample("espnet2", "espnet2"),
    Sample("kaldi", "kaldi", KALDI),
    Sample("kaldi", "kaldi/archives.1/words_text", KALDI),
    Sample("nemo", "nemo/preds_out_width3_alpha0.5_beta0.5.tsv"),
    Sample("srilm", "srilm/bytelog/5338-284437-0002"),
    Sample("srilm", "srilm/bytelog"),
    Sample("srilm", "srilm/log10"),
    Sample("aws", "aws/5338-284437-0002.json"),
    Sample("google", "google/5338-284437-0003.json"),
    Sample("azure", "azure/5338-284437-0002.json"),
    Sample("azure", "azure/batch.wav.json"),
    Sample("huggingface", "huggingface/whisper.json"),
    Sample("huggingface", "huggingface/wav2vec2_with_lm.jsonl"),
    Sample("vosk", "vosk/recording.json"),
)


def read_with(reader, path, **options):
    """Returns the records and notices of a reader."""
    notices = Notices()
    return list(reader(path, FormatOptions(**options), notices)), notices.lines()


def refusal(reading):
    """Returns the MalformedFile that a reading raises."""
    import pytest

    from lorb.errors import MalformedFile

    with pytest.raises(MalformedFile) as caught:
        reading()
    return caught.value


def hypotheses(records):
    """Returns (text, score) of every hypothesis, by utterance."""
    return {
        record.nbest.id: [(h.transcript, h.first_pass_score) for h in record.nbest.hypotheses] for record in records
    }

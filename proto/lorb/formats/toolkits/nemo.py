"""NeMo's beams: lines "text TAB score" without a header, beam_size of them for each entry of a manifest.

As scripts/asr_language_modeling/ngram_lm/eval_beamsearch_ngram_ctc.py (NVIDIA/NeMo) writes them for its
eval_neural_rescorer.py, as preds_out_width{beam_size}_alpha{}_beta{}.tsv. The manifest, JSON lines {"audio_filepath",
"duration", "text"?}, gives names and references; it stands beside the beams as NAME.json if it is not named. Scores
are natural log, higher is better. A text may be empty.
"""

import json
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path, PurePosixPath

from lorb.errors import InvalidInput, MalformedFile
from lorb.formats.options import FormatOptions
from lorb.formats.parsing.json_documents import parsed_json
from lorb.formats.parsing.json_values import checked_object
from lorb.formats.parsing.lines import numbered_lines, whole_lines
from lorb.formats.parsing.list_names import bare_name
from lorb.formats.parsing.score_text import parsed_score
from lorb.formats.record import ListRecord
from lorb.formats.warnings import Notices

_WIDTH = re.compile(r"width([1-9][0-9]{0,5})")
_NAMES = ("id", "utt_id", "audio_filepath")


def read_nemo(path: Path, options: FormatOptions, notices: Notices) -> Iterator[ListRecord]:
    """Yields the lists of a file of beams.

    Raises:
        MalformedFile: the file is torn, or does not fit its manifest.
        InvalidInput: the beam size is not known.
    """
    manifest = options.nemo_manifest or path.with_name(f"{bare_name(path)}.json")
    if not manifest.exists():
        raise MalformedFile(
            path, 0, f"beams need their manifest: give --nemo-manifest, or put it beside them as {manifest.name}"
        )
    size = options.nemo_beam_size or _beam_size(path)
    beams = whole_lines(path)
    last_line = 0
    for entry_line, text in numbered_lines(manifest):
        entry = checked_object(parsed_json(manifest, entry_line, text), manifest, entry_line, "the entry")
        lines = list(islice(beams, size))
        if len(lines) < size:
            raise MalformedFile(
                path,
                lines[-1][0] if lines else last_line,
                f"{len(lines)} of {size} beams are here for the entry at {manifest}:{entry_line}, then the file ends",
            )
        last_line = lines[-1][0]
        hypotheses = [_hypothesis(beam, path, line, notices) for line, beam in lines]
        fields = _manifest_fields(entry, manifest, entry_line, notices)
        yield ListRecord.of({**fields, "hyps": hypotheses}, path, lines[0][0])
    for line, _ in beams:
        raise MalformedFile(path, line, f"{manifest} has no entry for this beam: all had {size} before it")


def _beam_size(path: Path) -> int:
    # Not lines over entries: a torn file would give each entry the next one's beams.
    width = _WIDTH.search(path.name)
    if width is None:
        raise InvalidInput(
            f"{path}: how many beams each entry has is not known: give --nemo-beam-size, or keep the name that NeMo "
            "gave the file, preds_out_widthN_...tsv",
            field="nemo_beam_size",
        )
    return int(width[1])


def _hypothesis(beam: str, path: Path, line: int, notices: Notices) -> dict[str, object]:
    text, tab, score = beam.rpartition("\t")
    if not tab:
        raise MalformedFile(path, line, "no tab: a beam is its text, a tab and its score")
    return {"text": text.strip(), "score": parsed_score(score, path, line, notices)}


def _manifest_fields(entry: Mapping[str, object], manifest: Path, line: int, notices: Notices) -> dict[str, object]:
    name = next((value for key in _NAMES if isinstance(value := entry.get(key), str) and value), None)
    if name is None:
        raise MalformedFile(manifest, line, 'the entry has no "audio_filepath"')
    if name == entry.get("audio_filepath"):
        notices.add("lists named after their recording, without folder and ending")
        name = PurePosixPath(name).stem
        if isinstance(entry.get("offset"), int | float):
            name = f"{name}-{json.dumps(entry['offset'])}"
    others = {key: value for key, value in entry.items() if key not in ("id", "text", "hyps")}
    reference = {"ref": entry["text"]} if entry.get("text") is not None else {}
    return {**others, **reference, "id": name}

"""Reads NeMo beams: lines "text TAB score" without a header. Each entry of a manifest has beam_size lines.

Source: scripts/asr_language_modeling/ngram_lm/eval_beamsearch_ngram_ctc.py (NVIDIA/NeMo), which writes
preds_out_width{beam_size}_alpha{}_beta{}.tsv. The manifest, JSON lines {"audio_filepath", "duration", "text"?}, gives
ids and references; by default it is NAME.json beside NAME.tsv. Scores are natural log, higher is better. Texts may be
empty.
"""

import json
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path, PurePosixPath

from lorb.errors import InvalidInput, MalformedFile
from lorb.formats.notices import Notices
from lorb.formats.options import FormatOptions
from lorb.formats.parsing.file_names import file_stem
from lorb.formats.parsing.json_cursor import parse_json
from lorb.formats.parsing.lines import numbered_lines, terminated_lines
from lorb.formats.parsing.values import parse_score, require_object
from lorb.formats.record import ListRecord

_WIDTH = re.compile(r"width([1-9][0-9]{0,5})")
_NAMES = ("id", "utt_id", "audio_filepath")


def read_nemo(path: Path, options: FormatOptions, notices: Notices) -> Iterator[ListRecord]:
    """Yields the lists of a file of beams.

    Raises:
        MalformedFile: the file is truncated, or does not fit its manifest.
        InvalidInput: neither the options nor the file name give the beam size.
    """
    manifest = options.nemo_manifest or path.with_name(f"{file_stem(path)}.json")
    if not manifest.exists():
        raise MalformedFile(
            path,
            0,
            f"the manifest of the beams is missing: give --nemo-manifest, or put it beside them as {manifest.name}",
        )
    beam_size = options.nemo_beam_size or _beam_size(path)
    beams = terminated_lines(path)
    last_line = 0
    for entry_line, text in numbered_lines(manifest):
        entry = require_object(parse_json(manifest, entry_line, text), manifest, entry_line, "the entry")
        lines = list(islice(beams, beam_size))
        if len(lines) < beam_size:
            raise MalformedFile(
                path,
                lines[-1][0] if lines else last_line,
                f"the file ends after {len(lines)} of {beam_size} beams for the entry at {manifest}:{entry_line}",
            )
        last_line = lines[-1][0]
        hypotheses = [_hypothesis(beam, path, line, notices) for line, beam in lines]
        fields = _manifest_fields(entry, manifest, entry_line, notices)
        yield ListRecord.of({**fields, "hyps": hypotheses}, path, lines[0][0])
    for line, _ in beams:
        raise MalformedFile(
            path, line, f"{manifest} has no entry for this beam: check the manifest and the beam size, {beam_size}"
        )


def _beam_size(path: Path) -> int:
    # The beam size is not computed as lines / entries: in a truncated file, entries would get beams of other entries.
    width = _WIDTH.search(path.name)
    if width is None:
        raise InvalidInput(
            f"{path}: the number of beams of each entry is not known: give --nemo-beam-size, or keep NeMo's file name, "
            "preds_out_widthN_...tsv",
            field="nemo_beam_size",
        )
    return int(width[1])


def _hypothesis(beam: str, path: Path, line: int, notices: Notices) -> dict[str, object]:
    text, tab, score = beam.rpartition("\t")
    if not tab:
        raise MalformedFile(path, line, "no tab: a beam is a text, a tab and a score")
    return {"text": text.strip(), "score": parse_score(score, path, line, notices)}


def _manifest_fields(entry: Mapping[str, object], manifest: Path, line: int, notices: Notices) -> dict[str, object]:
    name = next((value for key in _NAMES if isinstance(value := entry.get(key), str) and value), None)
    if name is None:
        raise MalformedFile(manifest, line, 'the entry has no "audio_filepath"')
    if name == entry.get("audio_filepath"):
        notices.add("lists named after their recording, without folder and suffix")
        name = PurePosixPath(name).stem
        if isinstance(entry.get("offset"), int | float):
            name = f"{name}-{json.dumps(entry['offset'])}"
    others = {key: value for key, value in entry.items() if key not in ("id", "text", "hyps")}
    reference = {"ref": entry["text"]} if entry.get("text") is not None else {}
    return {**others, **reference, "id": name}

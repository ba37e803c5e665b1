"""Removes token marks (U+2581, <space>, <eos>, Whisper's tags) from the texts of end-to-end recognisers."""

import re

from lorb.formats.notices import Notices

_WORD_BEGIN = "\N{LOWER ONE EIGHTH BLOCK}"  # sentencepiece's U+2581
_SPACE = "<space>"
# Control tokens of ESPnet ("<sos/eos>" is one token) and Whisper ("<|en|>", "<|notimestamps|>", "<|0.00|>").
_CONTROL = re.compile(r"<(?:sos/eos|sos|eos|blank|s|/s)>|<\|[^<>|]*\|>")


def strip_token_marks(text: str, notices: Notices) -> str:
    """Replaces U+2581 and <space> with spaces, and removes control tokens and outer white space."""
    words = text
    if _WORD_BEGIN in words or _SPACE in words:
        notices.add("texts with U+2581 or <space> replaced by a space")
        words = words.replace(_WORD_BEGIN, " ").replace(_SPACE, " ")
    without_control = _CONTROL.sub("", words)
    if without_control != words:
        notices.add("texts with control tokens such as <eos> removed")
    return " ".join(without_control.split()) if words is not text else without_control.strip()

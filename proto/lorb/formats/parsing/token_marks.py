"""Words out of text in which a tool left marks of its tokens."""

import re

from lorb.formats.warnings import Notices

_WORD_BEGIN = "\N{LOWER ONE EIGHTH BLOCK}"  # sentencepiece's U+2581
_SPACE = "<space>"
# Of ESPnet ("<sos/eos>" is one token), and of Whisper ("<|en|>", "<|notimestamps|>", "<|0.00|>").
_CONTROL = re.compile(r"<(?:sos/eos|sos|eos|blank|s|/s)>|<\|[^<>|]*\|>")


def plain_words(text: str, notices: Notices) -> str:
    """`text` with blanks for U+2581 and <space>, without control tokens and blanks at its ends."""
    words = text
    if _WORD_BEGIN in words or _SPACE in words:
        notices.add("texts in which U+2581 or <space> became a blank")
        words = words.replace(_WORD_BEGIN, " ").replace(_SPACE, " ")
    without_control = _CONTROL.sub("", words)
    if without_control != words:
        notices.add("texts without their control tokens, as <eos>")
    return " ".join(without_control.split()) if words is not text else without_control.strip()

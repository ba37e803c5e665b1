"""Two lists as native JSON lines: the first has a reference, the second a context and an unknown field."""

LINES = [
    '{"id": "u1", "ref": "a b", "hyps": [{"text": "a c", "score": -1.0}, {"text": "a b", "score": -2.0}]}',
    '{"id": "u2", "context": "hm?", "hyps": [{"text": "x", "score": -1.0, "words": 1}], "speaker": "s"}',
]

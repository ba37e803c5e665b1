"""The adapter loader on published versions that are not quite right: refused, or the same adapter."""

import json
from pathlib import Path

from hypothesis import strategies as st

from lorb.errors import LorbError
from lorb_adapters.base.loader import Base
from lorb_adapters.model import RescoringModel
from lorb_adapters.store.adapter import weights_digest
from lorb_adapters.store.loading import check_golden, load_adapter
from lorb_adapters.store.signing import SIGNATURE, TrustedKeys
from lorb_adapters.store.store import Store
from lorb_adapters.store.version_files import MANIFEST, MAX_BYTES
from support.faulty_input.mutations import edited, edits

cases = st.tuples(st.sampled_from([name for name in MAX_BYTES if name != "report.md"]), edits, st.booleans())


class FuzzedVersion:
    """One published version whose files are edited, one at a time, and put back.

    Attributes:
        trusted: the keys that one of them was signed with.
    """

    def __init__(self, store: Store, version: str, base: Base, trusted: TrustedKeys) -> None:
        self._store = store
        self._version = version
        self._base = base
        self._model = RescoringModel(base)
        self._folder = Path(store.url) / "voice/versions" / version
        self._files = dict(store.read_files("voice", version))
        self._trusted = trusted
        self._expected = load_adapter(store, "voice", version, base, trusted)

    def load_edited(self, name: str, made: list, forged: bool) -> str:
        """Loads the version with one file edited; returns what became of it. Raises what the loader never should.

        `forged`: with its sha256 made right in the manifest, so that only its content can give it away.
        """
        changed = {name: edited(self._files[name], made)}
        if forged and name not in (MANIFEST, SIGNATURE):
            changed[MANIFEST] = self._forged(name, changed[name])
        try:
            for each, content in changed.items():
                (self._folder / each).write_bytes(content)
            is_same = all(content == self._files[each] for each, content in changed.items())
            if not is_same:
                self._check_signed(changed)
            return self._load(is_same)
        finally:
            for each in changed:
                (self._folder / each).write_bytes(self._files[each])

    def _forged(self, name: str, content: bytes) -> bytes:
        from hashlib import sha256

        manifest = json.loads(self._files[MANIFEST])
        manifest["file_sha256"][name] = sha256(content).hexdigest()
        return json.dumps(manifest).encode()

    def _check_signed(self, changed: dict[str, bytes]) -> None:
        """No edit gets past a demand for signatures, but white space in the signature's own file."""
        try:
            loaded = load_adapter(self._store, "voice", self._version, self._base, self._trusted)
        except LorbError:
            return
        assert set(changed) == {SIGNATURE}
        assert loaded.manifest == self._expected.manifest

    def _load(self, is_same: bool) -> str:
        try:
            loaded = load_adapter(self._store, "voice", self._version, self._base)
            check_golden(loaded, self._model, self._base.text_encoder)
        except LorbError:
            if is_same:
                raise
            return "refused"
        assert weights_digest(loaded.weights) == weights_digest(self._expected.weights)
        return "loaded"

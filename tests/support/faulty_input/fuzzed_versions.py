"""Edits the files of a published version and checks that the loader refuses it or loads the same adapter."""

import hashlib
import json
from pathlib import Path

from hypothesis import strategies as st

from lorb.errors import LorbError
from lorb_adapters.base.loader import Base
from lorb_adapters.model import RescoringModel
from lorb_adapters.store.adapter import weights_digest
from lorb_adapters.store.golden_scores import check_golden_scores
from lorb_adapters.store.signing import SIGNATURE, TrustedKeys
from lorb_adapters.store.store import Store
from lorb_adapters.store.verified_loading import load_adapter
from lorb_adapters.store.version_files import MANIFEST, MAX_BYTES
from support.faulty_input.mutations import edited, edits

cases = st.tuples(st.sampled_from([name for name in MAX_BYTES if name != "report.md"]), edits, st.booleans())


class FuzzedVersion:
    """A published version whose files are edited one at a time and then restored."""

    def __init__(self, store: Store, version: str, base: Base, trusted: TrustedKeys) -> None:
        """`trusted`: the keys that signed the version."""
        self._store = store
        self._version = version
        self._base = base
        self._model = RescoringModel(base)
        self._folder = Path(store.url) / "voice/versions" / version
        self._files = dict(store.read_files("voice", version))
        self._trusted = trusted
        self._expected = load_adapter(store, "voice", version, base, trusted)

    def load_edited(self, name: str, edits_of_file: list, forged: bool) -> str:
        """Loads the version with one file edited; returns "refused" or "loaded".

        With `forged` the manifest gets the sha256 of the edited file, so that only the content can reveal the edit.
        Raises AssertionError if an edit is not noticed, and any error of the loader that is not a LorbError.
        """
        changed = {name: edited(self._files[name], edits_of_file)}
        if forged and name not in (MANIFEST, SIGNATURE):
            changed[MANIFEST] = self._forged_manifest(name, changed[name])
        try:
            for each, content in changed.items():
                (self._folder / each).write_bytes(content)
            is_same = all(content == self._files[each] for each, content in changed.items())
            if not is_same:
                self._check_signature_refuses(changed)
            return self._load(is_same)
        finally:
            for each in changed:
                (self._folder / each).write_bytes(self._files[each])

    def _forged_manifest(self, name: str, content: bytes) -> bytes:
        manifest = json.loads(self._files[MANIFEST])
        manifest["file_sha256"][name] = hashlib.sha256(content).hexdigest()
        return json.dumps(manifest).encode()

    def _check_signature_refuses(self, changed: dict[str, bytes]) -> None:
        """With trusted keys every edit is refused, except white space in the signature file."""
        try:
            loaded = load_adapter(self._store, "voice", self._version, self._base, self._trusted)
        except LorbError:
            return
        assert set(changed) == {SIGNATURE}
        assert loaded.manifest == self._expected.manifest

    def _load(self, is_same: bool) -> str:
        try:
            loaded = load_adapter(self._store, "voice", self._version, self._base)
            check_golden_scores(loaded, self._model, self._base.text_encoder)
        except LorbError:
            if is_same:
                raise
            return "refused"
        assert weights_digest(loaded.weights) == weights_digest(self._expected.weights)
        return "loaded"

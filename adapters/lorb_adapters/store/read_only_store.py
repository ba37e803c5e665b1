"""Reads a store: its domains, their versions and aliases."""

from collections.abc import Mapping

from msgspec import Struct

from lorb.errors import InvalidAdapter, StoreUnavailable, UnknownDomain, UnknownVersion
from lorb.names import STABLE, DomainSelector, check_version, is_version
from lorb_adapters.json_files import Count, read_json
from lorb_adapters.store.aliases import Aliases
from lorb_adapters.store.layout import INDEX, aliases_path, is_publishable, version_order, version_path, versions_path
from lorb_adapters.store.manifest import Manifest
from lorb_adapters.store.signing import SIGNATURE, TrustedKeys
from lorb_adapters.store.storage.opening import open_storage
from lorb_adapters.store.storage.protocol import Storage
from lorb_adapters.store.version_files import MANIFEST, MAX_BYTES, check_names, parse_manifest

MAX_GENERATION = 2**63 - 1
_MAX_INDEX_BYTES = 4096
_MAX_ALIASES_BYTES = 4 * 1024 * 1024


class ReadOnlyStore:
    """A store at a path or fsspec URL, for reading. It keeps no state, so threads may share it.

    Methods raise UnknownDomain, UnknownVersion, InvalidAdapter, StoreUnavailable, and InvalidInput for invalid names.
    """

    def __init__(self, url: str, *, read_timeout_seconds: float | None = None) -> None:
        """`read_timeout_seconds` limits each read of a local folder; another process then reads it."""
        self.url = str(url)
        self._storage: Storage = open_storage(self.url, read_timeout_seconds=read_timeout_seconds)

    def generation(self) -> int:
        """A number that grows with every change; 0 in a store that has never changed."""
        try:
            content = self._read_store_file(INDEX, _MAX_INDEX_BYTES)
        except FileNotFoundError:
            return 0
        return read_json(content, _Index, INDEX, StoreUnavailable).generation

    def domains(self) -> list[str]:
        """Domains with at least one version, sorted."""
        return [name for name in self.candidate_domains() if self._has_versions(name)]

    def candidate_domains(self) -> list[str]:
        """Entries of the store's folder whose names may be domains, sorted. Does not look inside the entries."""
        try:
            return list(filter(is_publishable, self._storage.list_names("")))
        except FileNotFoundError:
            return []

    def change_token(self, domain: str) -> str | None:
        """Returns a token that is different once the domain's aliases or versions have changed.

        Returns None if the storage cannot tell without reading the files.
        """
        return self._storage.change_token([aliases_path(domain), versions_path(domain)])

    def versions(self, domain: str) -> list[str]:
        """A domain's versions, oldest first; raises UnknownDomain if there is no such domain."""
        try:
            folders = self._storage.list_folders_with(versions_path(domain), MANIFEST)
        except FileNotFoundError:
            raise UnknownDomain(f"the store has no domain {domain!r}", field="domain") from None
        return sorted(filter(is_version, folders), key=version_order)

    def versions_or_empty(self, domain: str) -> list[str]:
        """A domain's versions, oldest first; empty if there is no such domain."""
        try:
            return self.versions(domain)
        except UnknownDomain:
            return []

    def aliases(self, domain: str) -> Aliases:
        """A domain's aliases; raises UnknownDomain if there is no such domain."""
        path = aliases_path(domain)
        try:
            return Aliases.parse(self._read_store_file(path, _MAX_ALIASES_BYTES), path)
        except FileNotFoundError:
            self.versions(domain)  # raises UnknownDomain
            return Aliases()

    def resolve(self, selector: DomainSelector) -> str:
        """The version that "name", "name@alias" or "name@version" selects; "name" alone means "name@stable"."""
        if selector.version is None:
            return self.aliases(selector.domain).version(selector.alias or STABLE)
        self._check_exists(selector.domain, selector.version)
        return selector.version

    def manifest(self, domain: str, version: str, trusted: TrustedKeys | None = None) -> Manifest:
        """Reads a version's manifest. With `trusted`, raises InvalidAdapter unless one of its keys signed it."""
        content = self.manifest_content(domain, version)
        if trusted is not None:
            trusted.check(content, self._signature(domain, version))
        return parse_manifest(content, domain, version)

    def manifest_content(self, domain: str, version: str) -> bytes:
        """The bytes of a version's manifest.json; signatures cover these bytes."""
        return self._read_file(domain, version, MANIFEST)

    def read_files(self, domain: str, version: str) -> Mapping[str, bytes]:
        """Returns the content of each file of a version, by file name. Each file is read once.

        Raises InvalidAdapter if a file is a link, does not belong in a version, or is too large, and if a
        required file is missing.
        """
        folder = version_path(domain, version)
        try:
            names = self._storage.list_names(folder)
            check_names(names)
            return {name: self._storage.read(f"{folder}/{name}", MAX_BYTES[name]) for name in names}
        except FileNotFoundError:
            raise _unknown_version(domain, version) from None

    def _read_store_file(self, path: str, max_bytes: int) -> bytes:
        """Reads a file that belongs to no version. Raises StoreUnavailable if it is a link or too large."""
        try:
            return self._storage.read(path, max_bytes)
        except InvalidAdapter as problem:
            raise StoreUnavailable(problem.message, field=problem.field) from problem

    def _read_file(self, domain: str, version: str, name: str) -> bytes:
        try:
            return self._storage.read(f"{version_path(domain, version)}/{name}", MAX_BYTES[name])
        except FileNotFoundError:
            raise _unknown_version(domain, version) from None

    def _signature(self, domain: str, version: str) -> bytes | None:
        try:
            return self._read_file(domain, version, SIGNATURE)
        except UnknownVersion:
            return None

    def _has_versions(self, name: str) -> bool:
        try:
            return bool(self.versions_or_empty(name))
        except InvalidAdapter:  # a link, or a file in place of a folder
            return False

    def _check_exists(self, domain: str, version: str) -> None:
        check_version(version)
        if version not in self.versions(domain):
            raise _unknown_version(domain, version)


class _Index(Struct):
    generation: Count


def _unknown_version(domain: str, version: str) -> UnknownVersion:
    return UnknownVersion(f"domain {domain!r} has no version {version}", field="version")

"""What is published: domains, their versions, the aliases that point at them. Reads only."""

from collections.abc import Mapping

from lorb.errors import InvalidAdapter, StoreUnavailable, UnknownDomain, UnknownVersion
from lorb.names import STABLE, DomainSelector, check_version, is_version
from lorb_adapters.json_fields import JsonFields
from lorb_adapters.store.aliases import Aliases
from lorb_adapters.store.layout import INDEX, aliases_path, by_number, may_be_domain, version_path, versions_path
from lorb_adapters.store.manifest import Manifest
from lorb_adapters.store.signing import SIGNATURE, TrustedKeys
from lorb_adapters.store.storage.storage import Storage, open_storage
from lorb_adapters.store.version_files import MANIFEST, MAX_BYTES, check_names, placed_manifest

_MAX_JSON_BYTES = 4 * 1024 * 1024


class StoreView:
    """A store at a path or fsspec URL, as it is read. Holds no state of its own: safe to share between threads.

    Raises UnknownDomain, UnknownVersion, InvalidAdapter, StoreUnavailable, and InvalidInput for names that are none.
    """

    def __init__(self, url: str) -> None:
        self.url = str(url)
        self._storage: Storage = open_storage(self.url)

    def generation(self) -> int:
        """Grows with every change; 0 in a store that never had one."""
        try:
            content = self._storage.read(INDEX, _MAX_JSON_BYTES)
        except FileNotFoundError:
            return 0
        return JsonFields.parse(content, INDEX, StoreUnavailable).integer("generation")

    def domains(self) -> list[str]:
        """Domains with at least one version, sorted."""
        return [name for name in self.possible_domains() if self._has_versions(name)]

    def possible_domains(self) -> list[str]:
        """All that may be domains, sorted, without a look into each."""
        try:
            return list(filter(may_be_domain, self._storage.names("")))
        except FileNotFoundError:
            return []

    def stamp(self, domain: str) -> str | None:
        """Other than before where the domain's aliases or versions have changed.

        None where the store's place cannot tell without reading them.
        """
        return self._storage.stamp([aliases_path(domain), versions_path(domain)])

    def versions(self, domain: str) -> list[str]:
        """A domain's versions, oldest first."""
        try:
            found = self._storage.folders_with(versions_path(domain), MANIFEST)
        except FileNotFoundError:
            raise UnknownDomain(f"the store has no domain {domain!r}", field="domain") from None
        return sorted(filter(is_version, found), key=by_number)

    def existing_versions(self, domain: str) -> list[str]:
        """As `versions`; empty where there is none."""
        try:
            return self.versions(domain)
        except UnknownDomain:
            return []

    def aliases(self, domain: str) -> Aliases:
        """A domain's aliases."""
        path = aliases_path(domain)
        try:
            return Aliases.from_json(self._storage.read(path, _MAX_JSON_BYTES), path)
        except FileNotFoundError:
            self.versions(domain)
            return Aliases()

    def resolve(self, selector: DomainSelector) -> str:
        """The version that "name", "name@alias" or "name@version" means; "name" alone is the stable one."""
        if selector.version is None:
            return self.aliases(selector.domain).version(selector.alias or STABLE)
        self._check_exists(selector.domain, selector.version)
        return selector.version

    def manifest(self, domain: str, version: str, trusted: TrustedKeys | None = None) -> Manifest:
        """What a version says about itself; its other files are not looked at, but with `trusted` its signature is."""
        content = self.manifest_content(domain, version)
        if trusted is not None:
            trusted.check(content, self._signature(domain, version))
        return placed_manifest(content, domain, version)

    def manifest_content(self, domain: str, version: str) -> bytes:
        """A version's manifest.json as it stands there: what a signature is of."""
        return self._read_known(domain, version, MANIFEST)

    def read_files(self, domain: str, version: str) -> Mapping[str, bytes]:
        """Every file of a version, each read once; refuses links, foreign names and files too large."""
        folder = version_path(domain, version)
        try:
            names = self._storage.names(folder)
            check_names(names)
            return {name: self._storage.read(f"{folder}/{name}", MAX_BYTES[name]) for name in names}
        except FileNotFoundError:
            raise _unknown_version(domain, version) from None

    def _read_known(self, domain: str, version: str, name: str) -> bytes:
        try:
            return self._storage.read(f"{version_path(domain, version)}/{name}", MAX_BYTES[name])
        except FileNotFoundError:
            raise _unknown_version(domain, version) from None

    def _signature(self, domain: str, version: str) -> bytes | None:
        try:
            return self._read_known(domain, version, SIGNATURE)
        except UnknownVersion:
            return None

    def _has_versions(self, name: str) -> bool:
        try:
            return bool(self.existing_versions(name))
        except InvalidAdapter:  # a link, or a file where a folder should be: no domain of ours
            return False

    def _check_exists(self, domain: str, version: str) -> None:
        check_version(version)
        if version not in self.versions(domain):
            raise _unknown_version(domain, version)


def _unknown_version(domain: str, version: str) -> UnknownVersion:
    return UnknownVersion(f"domain {domain!r} has no version {version}", field="version")

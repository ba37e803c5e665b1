"""Writes a store: publishes versions, changes aliases, removes versions."""

from collections.abc import Callable, Mapping

import msgspec

from lorb.errors import InvalidInput, StoreUnavailable, UnknownDomain
from lorb.names import STABLE
from lorb_adapters.json_files import canonical_json
from lorb_adapters.store.adapter import Publication, check_finite, weights_digest
from lorb_adapters.store.alias_history import AliasChange, last_change, utc_now
from lorb_adapters.store.aliases import Aliases
from lorb_adapters.store.layout import (
    INDEX,
    aliases_path,
    check_publishable,
    version_number,
    version_order,
    version_path,
)
from lorb_adapters.store.manifest import Manifest
from lorb_adapters.store.read_only_store import MAX_GENERATION, ReadOnlyStore
from lorb_adapters.store.signing import SIGNATURE, SigningKey, check_manifest_sha256
from lorb_adapters.store.storage.protocol import Change
from lorb_adapters.store.version_files import (
    MANIFEST,
    check_digests,
    check_identity,
    check_names,
    parse_manifest,
    render_version,
)


class Store(ReadOnlyStore):
    """A store at a path or fsspec URL, for reading and writing. It keeps no state, so threads may share it.

    In a local folder, and on S3 with conditional writes, several publishers may write at once; elsewhere only one may.
    A second call with the same arguments completes what a killed process began. If it finds the change made, it still
    raises the index's generation, because the killed process may not have.
    Writing methods raise UnknownDomain, UnknownVersion, InvalidAdapter, StoreUnavailable, InvalidInput for invalid
    names, and StoreConflict if a retry may succeed.
    """

    def create(self) -> None:
        """Creates an empty store if there is none. Raises StoreUnavailable if the store cannot be written to."""
        self._storage.create()
        with self._storage.change():
            pass  # in a local folder even an empty change needs the right to write

    def publish(self, publication: Publication, *, set_stable: bool, signing_key: SigningKey | None = None) -> str:
        """Adds a version, and with `set_stable` points `stable` at it; returns the full version id."""
        domain = check_publishable(publication.domain)
        check_finite(publication.weights)
        digest = weights_digest(publication.weights)
        with self._storage.change() as change:
            number = 1 + self.last_version_number(domain)
            version = f"{number}-{digest[:12]}"
            files = render_version(publication, version, utc_now())
            if signing_key is not None:
                files[SIGNATURE] = signing_key.sign(files[MANIFEST])
            self._put_version(change, domain, version, files)
            self._put_aliases_of(change, domain, version, set_stable=set_stable)
        return version

    def sign(self, domain: str, version: str, key: SigningKey, manifest_sha256: str | None = None) -> bytes:
        """Signs a version after checking its files; returns the signed bytes of the manifest.

        manifest_sha256: the sha256, in hex, that manifest.json must have; None allows any. Raises InvalidAdapter if
        manifest.json has another sha256, or if a file is truncated or changed.
        """
        files = self.read_files(domain, version)
        if manifest_sha256 is not None:
            check_manifest_sha256(files[MANIFEST], manifest_sha256)
        check_digests(files, parse_manifest(files[MANIFEST], domain, version))
        with self._storage.change() as change:
            change.put_file(f"{version_path(domain, version)}/{SIGNATURE}", key.sign(files[MANIFEST]))
            # rewrites the unchanged aliases only to raise the index's generation, so that servers read the signature
            self._put_aliases(change, domain, self.aliases(domain))
        return files[MANIFEST]

    def add(self, files: Mapping[str, bytes], *, set_stable: bool) -> Manifest:
        """Adds a version from another store and keeps its version id; returns its manifest.

        If the store already has this version, no files are added. Raises InvalidInput if the manifests differ.
        """
        check_names(list(files))
        manifest = Manifest.parse(files[MANIFEST])
        domain, version = check_publishable(manifest.domain), manifest.version
        check_identity(manifest, domain, version)
        check_digests(files, manifest)
        with self._storage.change() as change:
            if version not in self.versions_or_empty(domain):
                self._put_version(change, domain, version, files)
            else:
                self._check_same(manifest)
            self._put_aliases_of(change, domain, version, set_stable=set_stable)
        return manifest

    def complete_publication(self, domain: str, version: str, *, set_stable: bool) -> None:
        """Does the rest of a publication whose process was killed after the version's files were there."""
        with self._storage.change() as change:
            self._put_aliases_of(change, domain, version, set_stable=set_stable)

    def set_alias(self, domain: str, alias: str, version: str, share: float | None = None) -> AliasChange:
        """Points an alias at a version. `share` is the canary's share of calls; None keeps the current share."""

        def edit(aliases: Aliases) -> Aliases:
            self._check_exists(domain, version)
            return aliases.with_alias(alias, version, share)

        before, after = self._change_aliases(domain, edit)
        return AliasChange(utc_now(), alias, version, version) if after is before else after.history[-1]

    def remove_alias(self, domain: str, alias: str) -> AliasChange:
        """Removes an alias other than `stable`."""
        _, after = self._change_aliases(domain, lambda aliases: aliases.without_alias(alias))
        return _last_change(after, alias)

    def rollback(self, domain: str) -> AliasChange:
        """Points `stable` at its previous version; a second rollback goes further back.

        If the last rollback did not end, because its process was killed, completes it and goes no further back. The
        returned change is then marked as unfinished.
        """
        before, after = self._change_aliases(
            domain, lambda aliases: aliases.with_rollback_begun(frozenset(self.versions(domain)))
        )
        self._end(domain, Aliases.with_rollback_ended)
        return msgspec.structs.replace(_last_change(after, STABLE), is_unfinished=after is before)

    def remove(self, domain: str, version: str) -> None:
        """Removes a version; raises InvalidInput if an alias points at it.

        In a local folder no other writer can interfere. Elsewhere another writer may point an alias at the version at
        the same time. If that happens before this method has written aliases.json, StoreConflict is raised and nothing
        is removed. If it happens later, the alias is left without a version, and `lorb-adapters verify` reports it. The
        same holds for `prune`.
        """
        with self._storage.change() as change:
            aliases = self.aliases(domain)
            if version not in aliases.removing:
                self._check_exists(domain, version)
            names = aliases.pointing_at(version)
            if names:
                points, them = ("alias {} points", "it") if len(names) == 1 else ("aliases {} point", "them")
                raise InvalidInput(
                    f"the {points.format(', '.join(names))} at {domain} {version}: point {them} elsewhere first",
                    field="version",
                )
            self._remove(change, domain, [version])
        self._end(domain, lambda aliases: aliases.with_removal_ended([version]))

    def prune(self, domain: str, *, keep: int, dry_run: bool = False) -> list[str]:
        """Keeps the newest `keep` versions, the versions that have an alias, and the target of a rollback.

        Removes all other versions, and the temporary files of publishers that were killed while writing. Returns the
        removed versions and the paths of these files, which begin with ".tmp/". With `dry_run` nothing is removed, and
        the result is the same.
        """
        if keep < 0:
            raise InvalidInput(f"keep is {keep}: give a number of versions from 0", field="keep")
        if dry_run:
            return self._prunable(domain, keep) + self._storage.remove_leftovers(dry_run=True)
        with self._storage.change() as change:
            removed = self._prunable(domain, keep)
            if removed:
                self._remove(change, domain, removed)
        if removed:
            self._end(domain, lambda aliases: aliases.with_removal_ended(removed))
        return removed + self._storage.remove_leftovers(dry_run=False)

    def last_version_number(self, domain: str) -> int:
        """The highest version number that the domain ever had, including removed versions; 0 for a new domain."""
        numbers = map(version_number, self.versions_or_empty(domain))
        return max([self._aliases_or_empty(domain).last_number, *numbers])

    def _prunable(self, domain: str, keep: int) -> list[str]:
        aliases, versions = self.aliases(domain), self.versions_or_empty(domain)
        needed = {alias.version for alias in aliases.by_name.values()}
        needed |= set(versions[len(versions) - min(keep, len(versions)) :])
        needed |= {aliases.rollback_target(frozenset(versions)) or ""}
        half_removed = set(aliases.removing) - set(versions)
        return sorted(half_removed | set(versions) - needed, key=version_order)

    def _put_version(self, change: Change, domain: str, version: str, files: Mapping[str, bytes]) -> None:
        ordered = {name: files[name] for name in sorted(files, key=lambda name: name == MANIFEST)}
        change.put_folder(version_path(domain, version), ordered)

    def _put_aliases_of(self, change: Change, domain: str, version: str, *, set_stable: bool) -> None:
        aliases = self._aliases_or_empty(domain).with_number(version_number(version))
        self._put_aliases(change, domain, aliases.with_alias(STABLE, version) if set_stable else aliases)

    def _remove(self, change: Change, domain: str, versions: list[str]) -> None:
        # The highest number is recorded before its version is removed, so that no later version reuses it.
        aliases = self.aliases(domain).with_number(self.last_version_number(domain)).with_removal_begun(versions)
        # This write comes before the removals, because it fails if another writer has changed the aliases since they
        # were read. That writer may have pointed an alias at a version that is about to be removed.
        change.put_file(aliases_path(domain), canonical_json(aliases.to_json()))
        for version in versions:
            change.remove_folder(version_path(domain, version), MANIFEST)
        change.update_file(INDEX, self._next_index)

    def _change_aliases(self, domain: str, edit: Callable[[Aliases], Aliases]) -> tuple[Aliases, Aliases]:
        """Returns the aliases before and after the change; the same object twice if there was nothing to change."""
        with self._storage.change() as change:
            before = self.aliases(domain)
            after = edit(before)
            if after is not before:
                change.put_file(aliases_path(domain), canonical_json(after.to_json()))
            # A change that was made before may be that of a process that was killed before it wrote the index.
            change.update_file(INDEX, self._next_index)
        return before, after

    def _end(self, domain: str, edit: Callable[[Aliases], Aliases]) -> None:
        """Records in the aliases that a rollback or a removal has ended."""
        with self._storage.change() as change:
            change.update_file(aliases_path(domain), lambda: canonical_json(edit(self.aliases(domain)).to_json()))

    def _put_aliases(self, change: Change, domain: str, aliases: Aliases) -> None:
        change.put_file(aliases_path(domain), canonical_json(aliases.to_json()))
        # The index is written last: a reader that sees the new generation must find the change.
        change.update_file(INDEX, self._next_index)

    def _next_index(self) -> bytes:
        generation = self.generation() + 1
        if generation > MAX_GENERATION:
            problem = f"is {MAX_GENERATION}, the largest: write a smaller one into the file and restart the servers"
            raise StoreUnavailable(f"{INDEX}: generation {problem}", field="generation")
        return canonical_json({"schema_version": 1, "generation": generation})

    def _aliases_or_empty(self, domain: str) -> Aliases:
        try:
            return self.aliases(domain)
        except UnknownDomain:
            return Aliases()

    def _check_same(self, manifest: Manifest) -> None:
        if self.manifest(manifest.domain, manifest.version) != manifest:
            raise InvalidInput(
                f"the store has {manifest.domain} {manifest.version} with another manifest: versions never change",
                field="version",
            )


def _last_change(aliases: Aliases, alias: str) -> AliasChange:
    change = last_change(aliases.history, alias)
    assert change is not None  # noqa: S101 - the caller has just changed the alias
    return change

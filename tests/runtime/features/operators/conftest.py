"""Running one feature over columns given as Python values."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest


@pytest.fixture(name="run", scope="session")
def _run(make_features: Callable[..., Any]) -> Callable[..., Any]:
    """Output of the only feature of a config, in FG_NORMAL unless `mode` says otherwise."""

    def run(config: str, mode: str = "FG_NORMAL", **columns: Any) -> Any:
        arrays = {k: v if isinstance(v, pa.Array) else pa.array(v) for k, v in columns.items()}
        features = make_features(mode, config)
        return features.generate(pa.record_batch(arrays))[features.features[0].name]

    return run


@pytest.fixture(name="slots", scope="session")
def _slots() -> Callable[[Any], list[list[Any]]]:
    """Values of a sparse output, slot by slot."""

    def slots(output: Any) -> list[list[Any]]:
        lengths = getattr(output, "key_lengths", None)
        lengths = output.lengths if lengths is None else lengths
        values, out, at = output.values.tolist(), [], 0
        for size in lengths.tolist():
            out.append(values[at : at + size])
            at += size
        assert at == len(values)
        return out

    return slots

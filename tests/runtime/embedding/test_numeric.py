"""Numbers embedded by autodis and mlp, as feature groups give them, against their formulas in float64."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from google.protobuf import text_format

from tzx.runtime.data.batch import BatchLayout
from tzx.runtime.data.packing import pack
from tzx.runtime.embedding.groups import EmbeddingGroups
from tzx.runtime.errors import ConfigError
from tzx.runtime.features import FeatureSet
from tzx.runtime.features.arrays import DenseData, SequenceDenseData, SparseData
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig

FEATURES = """
data_config { dataset_type: ParquetDataset fg_mode: FG_NONE label_fields: "y" }
feature_configs { id_feature { feature_name: "item" expression: "item:item" num_buckets: 9 embedding_dim: 4 } }
feature_configs { raw_feature { feature_name: "plain" expression: "item:plain" } }
feature_configs { raw_feature { feature_name: "age" expression: "user:age" embedding_dim: 4
                                autodis { num_channels: 3 temperature: 0.5 keep_prob: 0.6 } } }
feature_configs { raw_feature { feature_name: "price" expression: "item:price" value_dim: 2 embedding_dim: 4 mlp {} } }
feature_configs { raw_feature { feature_name: "size" expression: "item:size" embedding_dim: 4
                                autodis { num_channels: 3 temperature: 0.5 keep_prob: 0.6 } } }
feature_configs { sequence_raw_feature { feature_name: "paid" expression: "user:paid" embedding_dim: 4
                                         autodis { num_channels: 3 } sequence_length: 5 } }
"""
DEEP = 'feature_groups { group_name: "deep" group_type: DEEP feature_names: ["item", "age", "size", "plain", "price"] }'
FM = 'feature_groups { group_name: "fm" group_type: DEEP feature_names: ["price", "item", "age"] }'
OWN = (
    'feature_groups { group_name: "own" group_type: DEEP feature_names: ["size", "age"] embedding_name_suffix: "own" }'
)
SEQ = 'feature_groups { group_name: "seq" group_type: SEQUENCE feature_names: ["age", "paid"] }'
ROWS = 7


def build(*groups: str, features: str = FEATURES) -> SimpleNamespace:
    torch.manual_seed(0)
    config = text_format.Parse(f"{features} model_config {{ {' '.join(groups)} }}", EasyRecConfig())
    made = FeatureSet.from_config(config.feature_configs, config.data_config)
    layout = BatchLayout.from_features(made.features)
    return SimpleNamespace(
        groups=EmbeddingGroups(made.features, config.model_config.feature_groups, layout), layout=layout
    )


def rows() -> dict:
    rng = np.random.default_rng(0)
    one, steps = np.ones(ROWS, np.int32), rng.integers(0, 4, ROWS).astype(np.int32)

    def numbers(count, width=1):
        return rng.normal(size=(count, width)).astype(np.float32)

    return {
        "item": SparseData(rng.integers(0, 9, ROWS), one),
        "plain": DenseData(numbers(ROWS)),
        "age": DenseData(numbers(ROWS)),
        "price": DenseData(numbers(ROWS, 2)),
        "size": DenseData(numbers(ROWS)),
        "paid": SequenceDenseData(numbers(steps.sum()), steps),
    }


def expected(groups: EmbeddingGroups, arrays: dict, name: str, suffix: str = "") -> np.ndarray:
    """The vectors of a feature in float64, one row at a time."""
    module, at = next(
        (m, [u.table for run in m.runs for u in run].index(f"{name}_{suffix}"))
        for m in groups.numeric
        if f"{name}_{suffix}" in [u.table for run in m.runs for u in run]
    )
    x = arrays[name].values.astype(np.float64)
    parts = [p.detach().double().numpy()[at] for p in module.embed.parameters()]
    if len(parts) == 1:
        return x @ parts[0]
    w, mix, vectors = parts
    out = []
    for (value,) in x:
        h = np.maximum(value * w, 0.01 * value * w)
        share = np.exp((mix @ h + 0.6 * h) / 0.5)
        out.append(share / share.sum() @ vectors)
    return np.stack(out)


@pytest.mark.parametrize("groups", [(DEEP,), (DEEP, FM), (FM, SEQ, DEEP), (DEEP, OWN, FM)])
def test_groups_hold_the_vectors_in_listed_order(groups: tuple[str, ...]) -> None:
    made, arrays = build(*groups), rows()
    outputs = made.groups(pack(arrays, made.layout, ROWS))
    table = next(p for n, p in made.groups.named_parameters() if ".collection." in n) if DEEP in groups else None
    of = {
        name: expected(made.groups, arrays, name) for name in ("age", "price") + (("size",) if DEEP in groups else ())
    }
    of["plain"] = arrays["plain"].values
    of["item"] = table.detach().numpy()[arrays["item"].values]
    for name, listed in (("deep", ("item", "age", "size", "plain", "price")), ("fm", ("price", "item", "age"))):
        if name in outputs:
            joined = np.concatenate([of[f] for f in listed], axis=1)
            np.testing.assert_allclose(outputs[name].detach().numpy(), joined, atol=1e-6, err_msg=name)
            assert made.groups.group_dims(name) == [1 if f == "plain" else 4 for f in listed]
    if SEQ in groups:
        np.testing.assert_allclose(outputs["seq.query"].detach().numpy(), of["age"], atol=1e-6)
        assert outputs["seq.sequence"].shape[2] == 1  # numbers of a sequence stay what they are
    if OWN in groups:
        joined = np.concatenate([expected(made.groups, arrays, f, "own") for f in ("size", "age")], axis=1)
        np.testing.assert_allclose(outputs["own"].detach().numpy(), joined, atol=1e-6)
        assert not np.allclose(joined[:, 4:], of["age"])


def test_features_that_are_embedded_alike_share_a_module() -> None:
    made = build(DEEP, FM)
    assert [len(m.runs) for m in made.groups.numeric] == [2, 1]  # FM takes age and size apart
    assert sum(p.numel() for p in made.groups.numeric.parameters()) == 2 * (3 + 9 + 12) + 8
    assert [len(m.runs) for m in build(DEEP).groups.numeric] == [1, 1]


def test_frozen_numbers_are_not_trained() -> None:
    made = build(DEEP, features=FEATURES.replace("mlp {}", "mlp {} trainable: false"))
    trained = {n: p.requires_grad for n, p in made.groups.numeric.named_parameters()}
    assert [n for n, wanted in trained.items() if not wanted] == ["1.embed.weight_FVD"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("num_channels: 3 t", "num_channels: 0 t", "feature 'age': autodis has num_channels 0; allowed: 1 or more"),
        ("temperature: 0.5", "temperature: 0", "feature 'age': autodis has temperature 0; allowed: above 0"),
        ("embedding_dim: 4 mlp", "mlp", "feature 'price': mlp needs embedding_dim"),
        ("mlp {}", "autodis { num_channels: 2 }", "'price': autodis takes one number, but value_dim is 2; use mlp"),
    ],
)
def test_what_makes_no_sense_is_named(old: str, new: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        build(DEEP, features=FEATURES.replace(old, new))


def test_no_number_is_wide() -> None:
    with pytest.raises(ConfigError, match="dense feature 'age' cannot be in a WIDE group; give it boundaries"):
        build('feature_groups { group_name: "wide" group_type: WIDE feature_names: ["item", "age"] }')

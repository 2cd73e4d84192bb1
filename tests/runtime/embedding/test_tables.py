"""What the TorchRec modules are given, and how their tables start."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torchrec import EmbeddingBagCollection, EmbeddingCollection

from tzx.runtime.embedding.groups import EmbeddingGroups
from tzx.runtime.embedding.specs import TablePlan, TableSpec
from tzx.runtime.embedding.tables import KeyedIds, PooledTables, SequenceTables, table_device
from tzx.runtime.errors import ConfigError


def specs(*features: Any) -> tuple[TableSpec, ...]:
    plan = TablePlan()
    for feature in features:
        plan.add(feature, elements=feature.is_sequence)
    return plan.tables()


def test_ids_of_a_whole_section_are_a_view(kit: SimpleNamespace) -> None:
    features = [kit.sparse("a"), kit.sparse("b")]
    batch = kit.make_batch(features, {"a": [[1], [2, 3]], "b": [[], [4]]}, 2)
    keyed = KeyedIds(["b", "a"], kit.layout(features))(batch)
    assert keyed.keys() == ["a", "b"]
    assert keyed.values().data_ptr() == batch.ids.values.data_ptr()
    assert keyed.lengths().data_ptr() == batch.ids.lengths.data_ptr()


def test_ids_of_some_features_are_selected_and_joined(kit: SimpleNamespace) -> None:
    features = [
        kit.sparse("a"),
        kit.sparse("w", is_weighted=True),
        kit.sparse("b"),
        kit.sparse("s", is_sequence=True),
    ]
    rows = {"a": [[1], [2]], "b": [[3, 4], []], "w": [[(5, 0.5)], []], "s": [[[6], [7, 8]], []]}
    batch = kit.make_batch(features, rows, 2)
    keyed = KeyedIds(["b", "w", "s"], kit.layout(features))(batch)
    assert keyed.keys() == ["s", "b", "w"]
    assert keyed.values().tolist() == [6, 7, 8, 3, 4, 5]
    assert keyed.lengths().tolist() == [3, 0, 2, 0, 1, 0]
    assert keyed.weights_or_none() is None
    empty = kit.make_batch(features, {name: [[], []] for name in rows}, 2)
    assert KeyedIds(["b", "s"], kit.layout(features))(empty).lengths().tolist() == [0, 0, 0, 0]


def test_shared_table_is_one_weight_for_candidate_and_history(kit: SimpleNamespace) -> None:
    item = {"embedding_name": "item_emb"}
    features = [kit.sparse("item", **item), kit.sparse("items", is_sequence=True, **item)]
    texts = [
        'group_name: "deep" group_type: DEEP feature_names: "item"',
        'group_name: "seq" group_type: SEQUENCE feature_names: ["item", "items"]',
    ]
    groups = EmbeddingGroups(features, [kit.group(t) for t in texts], kit.layout(features))
    assert [n for n, _ in groups.named_parameters()] == ["collections.sequence_4.collection.embeddings.item_emb.weight"]
    out = groups(kit.make_batch(features, {"item": [[3]], "items": [[[3]]]}, 1))
    assert torch.equal(out["deep"], out["seq.query"])
    assert torch.equal(out["deep"], out["seq.sequence"][:, 0])


def test_parameter_names_are_those_of_the_collections(kit: SimpleNamespace) -> None:
    features = [kit.sparse("a"), kit.sparse("s", is_sequence=True)]
    layout = kit.layout(features)
    pooled, sequence = PooledTables(specs(features[0]), layout), SequenceTables(specs(features[1]), layout)
    assert isinstance(pooled.collection, EmbeddingBagCollection)
    assert isinstance(sequence.collection, EmbeddingCollection)
    assert [n for n, _ in pooled.named_parameters()] == ["collection.embedding_bags.a_emb.weight"]
    assert [n for n, _ in sequence.named_parameters()] == ["collection.embeddings.s_emb.weight"]


@pytest.mark.parametrize("is_sequence", [False, True])
def test_tables_start_as_asked(kit: SimpleNamespace, is_sequence: bool) -> None:
    options = {"num_embeddings": 400, "embedding_dim": 8, "is_sequence": is_sequence}
    features = [
        kit.sparse("default", **options),
        kit.sparse("small", init_fn="nn.init.uniform_,a=-0.01,b=0.01", **options),
        kit.sparse("ones", init_fn="nn.init.ones_", data_type="FP16", **options),
    ]
    make = SequenceTables if is_sequence else PooledTables
    default, small, ones = make(specs(*features), kit.layout(features)).parameters()
    assert 0.049 < default.abs().max() <= 0.05  # sqrt(1 / 400)
    assert 0.0099 < small.abs().max() <= 0.01
    assert ones.dtype == torch.float16
    assert (ones == 1).all()


def test_initializer_leaves_the_placeholder_of_another_rank_alone(kit: SimpleNamespace) -> None:
    features = [kit.sparse("a", init_fn="nn.init.xavier_uniform_")]
    (config,) = PooledTables(specs(*features), kit.layout(features)).collection.embedding_bag_configs()
    placeholder = torch.empty(0)
    assert config.init_fn(placeholder) is placeholder


def test_meta_tables_take_no_memory(kit: SimpleNamespace) -> None:
    features = [kit.sparse("a", num_embeddings=10**12), kit.sparse("s", is_sequence=True)]
    text = 'group_name: "g" group_type: SEQUENCE feature_names: ["a", "s"]'
    with table_device("meta"):
        groups = EmbeddingGroups(features, [kit.group(text)], kit.layout(features))
    assert all(p.is_meta for p in groups.parameters())
    assert not any(p.is_meta for p in EmbeddingGroups(features[1:], [], kit.layout(features[1:])).parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"init_fn": "nn.init.uniform"}, "feature 'a': unknown init_fn"),
        ({"embedding_name": "type"}, "feature 'a': a table cannot be named 'type'"),
        ({"embedding_name": "a.b"}, "feature 'a': a table cannot be named 'a.b'"),
    ],
)
def test_tables_that_cannot_be_made_name_the_feature(
    kit: SimpleNamespace, options: dict[str, Any], message: str
) -> None:
    features = [kit.sparse("a", **options)]
    with pytest.raises(ConfigError, match=message):
        PooledTables(specs(*features), kit.layout(features))

"""Feature groups over tables that grow with the data: the same as fixed tables looked up by the rows that ids have."""

import copy
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from google.protobuf import text_format

from tzx.runtime.embedding.dynamic.ids import DynamicIds
from tzx.runtime.embedding.groups import EmbeddingGroups
from tzx.runtime.embedding.plain import swap_for_serving
from tzx.runtime.errors import ConfigError
from tzx.runtime.protos.feature_pb2 import IdFeature
from tzx.runtime.serving.tensors import FlatModel, dynamic_dims, flatten

GROUPS = """
group_name: "deep" group_type: DEEP feature_names: ["fixed", "a", "weighted", "item", "items"]
sequence_groups { group_name: "s" feature_names: ["item", "items", "tags"] }
sequence_encoders { pooling_encoder { input: "s" } }
|
group_name: "wide" group_type: WIDE feature_names: ["a", "fixed"]
|
group_name: "own" group_type: DEEP feature_names: ["item"] embedding_name_suffix: "own"
"""
ROWS = 12
OPTIONS = {
    "zch": "zch { zch_size: 12 lfu {} eviction_interval: 2 }",
    "dynamicemb": "dynamicemb { max_capacity: 12 frequency_admission_strategy { threshold: 2 } }",
    "fixed": "",
}
NAMES = ("a", "weighted", "item", "items", "tags")


def make_features(kit: SimpleNamespace, options: dict[str, str]) -> list[Any]:
    def feature(name: str, option: str, **more: Any) -> Any:
        text = f'feature_name: "{name}" expression: "user:x" embedding_dim: 4 {options[option]}'
        return kit.sparse(name, config=text_format.Parse(text, IdFeature()), num_embeddings=ROWS, **more)

    return [
        feature("fixed", "fixed"),
        feature("a", "zch"),
        feature("weighted", "dynamicemb", is_weighted=True, pooling="mean"),
        feature("item", "zch", embedding_name="item_emb"),
        feature("items", "zch", embedding_name="item_emb", is_sequence=True),
        feature("tags", "dynamicemb", is_sequence=True, pooling="mean"),
    ]


def spread(value: Any) -> Any:
    """Small ids far apart in the range of int64; ids of fixed tables stay."""
    if isinstance(value, list):
        return [spread(v) for v in value]
    return (spread(value[0]), value[1]) if isinstance(value, tuple) else (value * 0x123456789ABCDEF) - 2**62


def mapped(value: Any, rows: dict[int, int]) -> Any:
    if isinstance(value, list):
        return [mapped(v, rows) for v in value]
    return (rows[value[0]], value[1]) if isinstance(value, tuple) else rows[value]


def flat(value: Any) -> list[int]:
    if isinstance(value, list):
        return [i for v in value for i in flat(v)]
    return [value[0] if isinstance(value, tuple) else value]


@pytest.fixture(scope="module")
def built(kit: SimpleNamespace) -> SimpleNamespace:
    """Groups that have learnt from a few batches, the same with fixed tables, and rows of ids by embedding name."""
    configs = [kit.group(g) for g in GROUPS.split("|")]
    features, fixed = make_features(kit, OPTIONS), make_features(kit, dict.fromkeys(OPTIONS, ""))
    layout = kit.layout(features)
    torch.manual_seed(0)
    groups = EmbeddingGroups(features, configs, layout)
    reference = EmbeddingGroups(fixed, configs, layout)
    reference.load_state_dict(groups.state_dict())
    for now in range(1, 5):
        rows = some_rows(kit, features, seed=now)
        groups.dynamic.learn(kit.make_batch(features, rows, 6), now)
    return SimpleNamespace(kit=kit, features=features, fixed=fixed, groups=groups, reference=reference)


def some_rows(kit: SimpleNamespace, features: list[Any], seed: int) -> dict[str, Any]:
    many = [replace(f, num_embeddings=30) if f.name in NAMES else f for f in features]
    rows = kit.random_rows(many, 6, seed)
    return {name: spread(v) if name in NAMES else v for name, v in rows.items()}


def expected(built: SimpleNamespace, rows: dict[str, Any]) -> dict[str, torch.Tensor]:
    tables = {table.spec.name: table for table in built.groups.dynamic.tables}
    as_rows = dict(rows)
    for feature in built.features:
        if feature.name in NAMES:
            ids = sorted(set(flat(rows[feature.name])))
            found = tables[feature.embedding_name].find(np.array(ids, np.int64))
            as_rows[feature.name] = mapped(rows[feature.name], dict(zip(ids, found.tolist(), strict=True)))
    return built.reference(built.kit.make_batch(built.fixed, as_rows, 6))


def assert_equal(actual: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert actual.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(actual[name], value, rtol=0, atol=1e-6)


@pytest.mark.parametrize("seed", [1, 2, 77, 78])
def test_tables_are_looked_up_by_row(built: SimpleNamespace, seed: int) -> None:
    rows = some_rows(built.kit, built.features, seed)
    assert_equal(built.groups(built.kit.make_batch(built.features, rows, 6)), expected(built, rows))


def test_the_tables_of_one_name_share_a_map(built: SimpleNamespace) -> None:
    assert [spec.name for spec in built.groups.dynamic.specs] == ["a_emb", "weighted_emb", "item_emb", "tags_emb"]
    following = {table.name: table.id_map for table in built.groups.tables}
    assert (following["a_emb"], following["a_emb_wide"], following["fixed_emb"]) == ("a_emb", "a_emb", "")
    assert (following["item_emb"], following["item_emb_own"]) == ("item_emb", "item_emb")
    state = {table.spec.name: table.tally for table in built.groups.dynamic.tables}
    assert all(t.hits and t.admitted and t.misses for t in state.values()), state
    assert state["a_emb"].evicted


def test_a_batch_is_mapped_once_and_the_given_one_is_left_alone(built: SimpleNamespace) -> None:
    batch = built.kit.make_batch(built.features, some_rows(built.kit, built.features, 5), 6)
    before = batch.ids.values.clone()
    once = built.groups.dynamic(batch)
    assert built.groups.dynamic(once) is once and once.has_rows and not batch.has_rows
    assert torch.equal(batch.ids.values, before) and int(once.ids.values.max()) < ROWS
    assert_equal(built.groups(once), built.groups(batch))


def test_evaluation_changes_no_map(built: SimpleNamespace) -> None:
    maps = [id_map for table in built.groups.dynamic.tables for id_map in table.maps.values()]
    before = [id_map.state() for id_map in maps]
    built.groups(built.kit.make_batch(built.features, some_rows(built.kit, built.features, 91), 6))
    after = [id_map.state() for id_map in maps]
    assert all((old[k] == new[k]).all() for old, new in zip(before, after, strict=True) for k in old)


def test_serving_finds_the_same_rows_for_any_batch_size(built: SimpleNamespace) -> None:
    plain = copy.deepcopy(built.groups)
    swap_for_serving(plain)
    assert not any(isinstance(module, DynamicIds) for module in plain.modules())
    flat_model = FlatModel(Predicting(plain), built.kit.layout(built.features), ["deep", "wide", "own"]).eval()
    batch = built.kit.make_batch(built.features, some_rows(built.kit, built.features, 1), 6)
    dims = tuple(dict.fromkeys(d, torch.export.Dim.DYNAMIC) for d in dynamic_dims(batch.layout))
    with torch.no_grad(), torch.fx.experimental._config.patch(backed_size_oblivious=True):
        program = torch.export.export(flat_model, tuple(flatten(batch)), dynamic_shapes=(dims,), strict=False)
        for seed in (2, 78, 79):
            rows = some_rows(built.kit, built.features, seed)
            found = program.module()(*flatten(built.kit.make_batch(built.features, rows, 6)))
            wanted = expected(built, rows)
            assert_equal(dict(zip(("deep", "wide", "own"), found, strict=True)), wanted)


class Predicting(torch.nn.Module):
    def __init__(self, groups: torch.nn.Module) -> None:
        super().__init__()
        self.groups = groups

    def predict(self, batch: Any) -> dict[str, torch.Tensor]:
        return self.groups(batch)


def test_a_map_that_has_seen_nothing_serves_the_last_row(kit: SimpleNamespace) -> None:
    features = make_features(kit, OPTIONS)
    groups = EmbeddingGroups(features, [kit.group(g) for g in GROUPS.split("|")], kit.layout(features))
    batch = kit.make_batch(features, some_rows(kit, features, 1), 6)
    rows = groups.dynamic(batch)
    plain = copy.deepcopy(groups).dynamic.to_plain()(batch)
    for section in ("ids", "weighted_ids", "sequence_ids"):
        assert torch.equal(getattr(rows, section).values, getattr(plain, section).values)
    assert (rows.sequence_ids.values == ROWS - 1).all()
    assert (plain.sequences["items"].values == ROWS - 1).all()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("zch { zch_size: 12 }", "'a': zch needs an eviction policy"),
        ("zch { zch_size: 1 lfu {} }", "'a': 1 rows; a table of ids needs from 2 rows"),
        ("zch { zch_size: 3000000000 lfu {} }", "needs from 2 rows .* to 2147483647"),
        ("zch { zch_size: 12 lfu {} eviction_interval: 0 }", "zch.eviction_interval is 0"),
        ("zch { zch_size: 12 lru { decay_exponent: 0 } }", "zch.lru.decay_exponent is 0"),
        ("zch { zch_size: 12 distance_lfu { decay_exponent: -1 } }", "zch.distance_lfu.decay_exponent is -1"),
        ('zch { zch_size: 12 lfu {} threshold_filtering_func: "x" }', "zch.threshold_filtering_func: 'x' is not known"),
        (
            'dynamicemb { max_capacity: 12 score_strategy: "CUSTOMIZED" }',
            "score_strategy 'CUSTOMIZED' is not supported",
        ),
        ('dynamicemb { max_capacity: 12 init_table: "x" }', "dynamicemb.init_table is not supported"),
        (
            'dynamicemb { max_capacity: 12 eval_initializer_args { mode: "NORMAL" } }',
            "eval_initializer_args.mode is NORMAL",
        ),
        (
            "dynamicemb { max_capacity: 12 frequency_admission_strategy { threshold: 2 "
            'initializer_args { mode: "CONSTANT" value: 1 } } }',
            "would be 1 in training .* but 0 in serving",
        ),
    ],
)
def test_what_is_not_offered_is_refused_by_feature_and_field(kit: SimpleNamespace, option: str, message: str) -> None:
    feature = make_features(kit, {**OPTIONS, "zch": option})[1]
    with pytest.raises(ConfigError, match=message):
        EmbeddingGroups([feature], [kit.group('group_name: "g" feature_names: "a"')], kit.layout([feature]))


def test_features_of_one_table_must_agree_on_how_it_grows(kit: SimpleNamespace) -> None:
    one, other = make_features(kit, OPTIONS)[3], make_features(kit, {**OPTIONS, "zch": ""})[4]
    groups = [kit.group('group_name: "g" feature_names: ["item", "items"]')]
    with pytest.raises(ConfigError, match=r"'item' and 'items' share .* disagree on zch or dynamicemb: \{ zch_"):
        EmbeddingGroups([one, other], groups, kit.layout([one, other]))


def test_an_init_fn_of_a_whole_table_is_refused(kit: SimpleNamespace) -> None:
    feature = make_features(kit, OPTIONS)[1]
    object.__setattr__(feature, "init_fn", "nn.init.xavier_normal_")
    with pytest.raises(ConfigError, match=r"feature 'a': init_fn .*xavier_normal_': rows .* start one at a time"):
        EmbeddingGroups([feature], [kit.group('group_name: "g" feature_names: "a"')], kit.layout([feature]))

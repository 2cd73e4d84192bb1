"""Feature groups against a slow reading of what they hold."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tzx.runtime.embedding.groups import EmbeddingGroups
from tzx.runtime.embedding.specs import WideOptions
from tzx.runtime.errors import ConfigError, DataError

DEEP = """
group_name: "deep" group_type: DEEP
feature_names: ["mean", "x", "y", "multi", "weighted", "item", "items", "z"]
sequence_groups { group_name: "s" feature_names: ["item", "items", "times"] }
sequence_encoders { pooling_encoder { input: "s" pooling_type: "sum" } }
"""
WIDE = 'group_name: "wide" group_type: WIDE feature_names: ["multi", "mean", "weighted"]'
SEQUENCE = 'group_name: "seq" group_type: SEQUENCE feature_names: ["items", "x", "item", "times", "tags", "multi"]'
JAGGED = 'group_name: "flat" group_type: JAGGED_SEQUENCE feature_names: ["times", "items"]'
MIXED = 'group_name: "mixed" group_type: DEEP feature_names: ["u", "uw"]'
SUFFIX = 'group_name: "own" group_type: DEEP feature_names: ["multi", "item"] embedding_name_suffix: "own"'


@pytest.fixture(scope="module")
def features(kit: SimpleNamespace) -> list[Any]:
    item = {"embedding_name": "item_emb", "num_embeddings": 30}
    return [
        kit.dense("z"),
        kit.sparse("multi"),
        kit.dense("x"),
        kit.dense("y", 3),
        kit.sparse("mean", pooling="mean", embedding_dim=8),
        kit.sparse("weighted", is_weighted=True, pooling="mean"),
        kit.sparse("item", **item),
        kit.sparse("unused"),
        kit.sparse("u", pooling="mean", embedding_name="u_emb"),
        kit.sparse("uw", is_weighted=True, pooling="mean", embedding_name="u_emb"),
        kit.sparse("items", is_sequence=True, **item),
        kit.sparse("tags", is_sequence=True, pooling="mean", embedding_dim=8),
        kit.dense("times", 2, is_sequence=True),
    ]


@pytest.fixture(scope="module")
def groups(kit: SimpleNamespace, features: list[Any]) -> EmbeddingGroups:
    torch.manual_seed(2)
    configs = [kit.group(g) for g in (DEEP, WIDE, SEQUENCE, JAGGED, MIXED, SUFFIX)]
    return EmbeddingGroups(features, configs, kit.layout(features), WideOptions(dim=3))


class Oracle:
    """Looks ids up one at a time."""

    def __init__(self, kit: SimpleNamespace, groups: EmbeddingGroups, rows: dict[str, list[Any]]) -> None:
        self.pool, self.rows = kit.pool, rows
        weights = {n.split(".")[-2]: p.detach().numpy() for n, p in groups.named_parameters() if "collection" in n}
        self.tables = weights

    def bag(self, feature: str, table: str, pooling: str = "sum") -> np.ndarray:
        return np.stack([self.pool(self.tables[table], row, pooling) for row in self.rows[feature]])

    def flat_bag(self, feature: str, table: str) -> np.ndarray:
        joined = [[i for element in row for i in element] for row in self.rows[feature]]
        return np.stack([self.pool(self.tables[table], row, "sum") for row in joined])

    def numbers(self, feature: str) -> np.ndarray:
        return np.asarray(self.rows[feature]).reshape(len(self.rows[feature]), -1)

    def elements(self, feature: str, table: str, pooling: str, dim: int) -> list[np.ndarray]:
        found = [[self.pool(self.tables[table], e, pooling) for e in row] for row in self.rows[feature]]
        return [np.array(row).reshape(-1, dim) for row in found]


def padded(rows: list[np.ndarray]) -> np.ndarray:
    longest = max(len(row) for row in rows)
    return np.stack([np.pad(row, ((0, longest - len(row)), (0, 0))) for row in rows])


@settings(max_examples=25, deadline=None)
@given(size=st.integers(1, 9), longest=st.integers(0, 5), seed=st.integers(0, 10_000))
def test_every_output_is_what_its_features_give(
    kit: SimpleNamespace, features: list[Any], groups: EmbeddingGroups, size: int, longest: int, seed: int
) -> None:
    rows = kit.random_rows(features, size, seed, longest)
    actual = groups(kit.make_batch(features, rows, size))
    look = Oracle(kit, groups, rows)
    items = look.elements("items", "item_emb", "sum", 4)
    tags = look.elements("tags", "tags_emb", "mean", 8)
    times = [np.asarray(row, float).reshape(-1, 2) for row in rows["times"]]
    item, multi, x = look.bag("item", "item_emb"), look.bag("multi", "multi_emb"), look.numbers("x")
    deep = [
        *(look.bag("mean", "mean_emb", "mean"), x, look.numbers("y"), multi),
        *(look.bag("weighted", "weighted_emb", "mean"), item, look.flat_bag("items", "item_emb"), look.numbers("z")),
        np.stack([np.concatenate([a.sum(axis=0), b.sum(axis=0)]) for a, b in zip(items, times, strict=True)]),
    ]
    wide = [
        look.bag("multi", "multi_emb_wide"),
        look.bag("mean", "mean_emb_wide", "mean"),
        look.bag("weighted", "weighted_emb_wide", "mean"),
    ]
    expected = {
        "deep": np.concatenate(deep, axis=1),
        "wide": np.concatenate(wide, axis=1),
        "seq.query": np.concatenate([x, item, multi], axis=1),
        "seq.sequence": np.concatenate([padded(items), padded(times), padded(tags)], axis=2),
        "seq.sequence_length": np.array([len(row) for row in rows["items"]]),
        "flat.sequence": np.concatenate([np.concatenate(times), np.concatenate(items)], axis=1),
        "flat.sequence_length": np.array([len(row) for row in rows["times"]]),
        "mixed": np.concatenate([look.bag("u", "u_emb", "mean"), look.bag("uw", "u_emb", "mean")], axis=1),
        "own": np.concatenate([look.bag("multi", "multi_emb_own"), look.bag("item", "item_emb_own")], axis=1),
    }
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert actual[name].dtype == (torch.int64 if name.endswith("length") else torch.float32)
        np.testing.assert_allclose(actual[name].detach().numpy(), value, rtol=1e-5, atol=1e-6, err_msg=name)


def test_dims_follow_the_listed_order(groups: EmbeddingGroups) -> None:
    assert groups.feature_dims("deep") == {
        **{"mean": 8, "x": 1, "y": 3, "multi": 4, "weighted": 4, "item": 4, "items": 4, "z": 1},
        "deep_seq_encoder_0": 6,
    }
    assert groups.group_dims("wide") == [3, 3, 3]
    assert groups.total_dim("seq.query") == 1 + 4 + 4
    assert groups.feature_dims("seq.sequence") == {"items": 4, "times": 2, "tags": 8}
    assert groups.total_dim("flat.sequence") == 6
    with pytest.raises(ConfigError, match=r"""no .* output 'seq.querry'; did you mean "seq.query"\?$"""):
        groups.total_dim("seq.querry")


def test_a_step_changes_the_rows_that_were_looked_up(kit: SimpleNamespace) -> None:
    item = {"embedding_name": "item_emb"}
    features = [kit.sparse("a"), kit.sparse("item", **item), kit.sparse("items", is_sequence=True, **item)]
    text = """
    group_name: "g" group_type: DEEP feature_names: ["a", "item"]
    sequence_groups { feature_names: ["item", "items"] }
    sequence_encoders { din_encoder { input: "g" attn_mlp { hidden_units: 4 } } }
    """
    groups = EmbeddingGroups(features, [kit.group(text)], kit.layout(features))
    before = {n: p.detach().clone() for n, p in groups.named_parameters()}
    rows = {"a": [[3], [5, 5]], "item": [[1], [2]], "items": [[[7], [8]], []]}
    groups(kit.make_batch(features, rows, 2))["g"].square().sum().backward()
    torch.optim.SGD(groups.parameters(), lr=0.1).step()
    changed = {
        n.split(".")[-2]: (p != before[n]).any(dim=1).nonzero().flatten().tolist()
        for n, p in groups.named_parameters()
        if "collection" in n
    }
    assert changed == {"a_emb": [3, 5], "item_emb": [1, 2, 7, 8]}


def test_sequences_of_unequal_length_are_aligned_or_refused(kit: SimpleNamespace) -> None:
    features = [kit.dense("p", 1, is_sequence=True), kit.dense("q", 1, is_sequence=True)]
    padded_group = kit.group('group_name: "g" group_type: SEQUENCE feature_names: ["p", "q"]')
    flat_group = kit.group('group_name: "g" group_type: JAGGED_SEQUENCE feature_names: ["p", "q"]')
    rows = {"p": [[[1.0], [2.0]], [[3.0]]], "q": [[[4.0]], [[5.0], [6.0], [7.0]]]}
    batch = kit.make_batch(features, rows, 2)
    aligned = EmbeddingGroups(features, [padded_group], kit.layout(features))(batch)
    assert aligned["g.sequence"].tolist() == [[[1, 4], [2, 0]], [[3, 5], [0, 6]]]
    assert aligned["g.sequence_length"].tolist() == [2, 1]
    with pytest.raises(DataError, match="'q' has 4 elements in this batch but 'p' has 3"):
        EmbeddingGroups(features, [flat_group], kit.layout(features))(batch)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'group_name: "g" group_type: DEEP feature_names: "itm"',
            """unknown feature 'itm'; did you mean "item".$""",
        ),
        ('group_name: "g.h" group_type: DEEP feature_names: "item"', "'g.h': names must be unique and without dots"),
        ('group_name: "g" group_type: DEEP', "'g' has neither features nor sequence encoders"),
        ('group_name: "g" group_type: SEQUENCE', "'g' has no features"),
        ('group_name: "g" group_type: DEEP feature_names: ["x", "x"]', "'g' lists x more than once"),
        ('group_name: "g" group_type: WIDE feature_names: "x"', "dense feature 'x' cannot be in a WIDE group"),
        ('group_name: "g" group_type: DEEP feature_names: "times"', "dense sequence 'times' has no single value"),
        (
            'group_name: "g" group_type: DEEP sequence_groups { feature_names: "items" }',
            "has sequence_groups but no sequence_encoders",
        ),
        (
            'group_name: "g" group_type: DEEP sequence_groups { group_name: "s" feature_names: "items" } '
            'sequence_encoders { pooling_encoder { input: "t" } }',
            r"reads 't', which is not one of the group's sequence_groups \(s\)",
        ),
        (
            'group_name: "g" group_type: DEEP feature_names: "x" sequence_encoders { pooling_encoder { input: "t" } }',
            r"sequence_groups \(none\)",
        ),
        (
            'group_name: "g" group_type: DEEP sequence_groups { group_name: "s" feature_names: "items" } '
            'sequence_groups { group_name: "s" feature_names: "times" } '
            'sequence_encoders { pooling_encoder { input: "s" } }',
            "two sequence_groups are named 's'",
        ),
        (
            'group_name: "g" group_type: DEEP sequence_groups { feature_names: "items" } '
            'sequence_groups { group_name: "s" feature_names: "times" } '
            'sequence_encoders { pooling_encoder { input: "s" } }',
            "each of several sequence_groups needs a group_name",
        ),
        (
            'group_name: "g" group_type: DEEP sequence_groups { group_name: "s" feature_names: "item" } '
            'sequence_encoders { pooling_encoder { input: "s" } }',
            "'s' has no sequence feature",
        ),
        (
            'group_name: "g" group_type: DEEP sequence_groups { feature_names: ["y", "item", "items"] } '
            'sequence_encoders { din_encoder { input: "g" attn_mlp { hidden_units: 4 } } }',
            "'g': din: the query is 7 wide but the sequence 4",
        ),
        (
            'group_name: "g" group_type: SEQUENCE feature_names: "items" '
            'sequence_encoders { pooling_encoder { input: "g" } }',
            "belong into DEEP groups",
        ),
    ],
)
def test_groups_that_do_not_fit_are_config_errors(
    kit: SimpleNamespace, features: list[Any], text: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        EmbeddingGroups(features, [kit.group(text)], kit.layout(features))


@pytest.mark.parametrize(
    ("own", "table"), [("", "item_emb_outer"), ('embedding_name_suffix: "inner"', "item_emb_inner")]
)
def test_a_sequence_group_without_suffix_takes_that_of_its_group(
    kit: SimpleNamespace, features: list[Any], own: str, table: str
) -> None:
    config = kit.group(
        'group_name: "g" group_type: DEEP feature_names: "mean" embedding_name_suffix: "outer" '
        f'sequence_groups {{ group_name: "s" feature_names: ["item", "items"] {own} }} '
        'sequence_encoders { pooling_encoder { input: "s" pooling_type: "sum" } }'
    )
    made = EmbeddingGroups(features, [config], kit.layout(features), WideOptions(dim=3))
    tables = {name.split(".")[-2] for name, _ in made.named_parameters() if "collection" in name}
    assert tables == {"mean_emb_outer", table}

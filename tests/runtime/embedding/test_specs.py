"""Which tables there are, where they live, and who may share them."""

from types import SimpleNamespace
from typing import Any

import pytest

from tzx.runtime.embedding.specs import TablePlan, TableSpec, WideOptions, home_of
from tzx.runtime.errors import ConfigError


def only(plan: TablePlan) -> TableSpec:
    (table,) = plan.tables()
    return table


def test_names_follow_the_group_and_its_suffix(kit: SimpleNamespace) -> None:
    plan = TablePlan(WideOptions(dim=0, init_fn="nn.init.zeros_"))
    a, shared = kit.sparse("a"), kit.sparse("b", embedding_name="shared")
    for feature in (a, shared):
        plan.add(feature)
        plan.add(feature, is_wide=True)
        plan.add(feature, suffix="x")
        plan.add(feature, is_wide=True, suffix="x")
    assert [(t.name, t.dim, t.init_fn) for t in plan.tables()] == [
        ("a_emb", 4, ""),
        ("a_emb_wide", 4, "nn.init.zeros_"),
        ("a_emb_x", 4, ""),
        ("a_emb_wide_x", 4, "nn.init.zeros_"),
        ("shared", 4, ""),
        ("shared_wide", 4, "nn.init.zeros_"),
        ("shared_x", 4, ""),
        ("shared_wide_x", 4, "nn.init.zeros_"),
    ]


def test_spec_carries_what_training_needs(kit: SimpleNamespace) -> None:
    plan = TablePlan()
    options = {"embedding_name": "t", "num_embeddings": 7, "embedding_dim": 8, "data_type": "FP16"}
    for name in ("a", "b"):
        plan.add(kit.sparse(name, pooling="mean", trainable=False, init_fn="nn.init.ones_", **options))
    plan.add(kit.sparse("a", pooling="mean", trainable=False, init_fn="nn.init.ones_", **options))
    table = only(plan)
    assert (table.rows, table.dim, table.pooling, table.data_type) == (7, 8, "mean", "FP16")
    assert (table.trainable, table.init_fn, table.feature_names) == (False, "nn.init.ones_", ("a", "b"))
    assert len(table.lookups) == 2


@pytest.mark.parametrize(
    ("users", "home"),
    [
        ([{}], "pooled"),
        ([{"is_weighted": True}], "weighted"),
        ([{}, {"is_weighted": True}], "sequence"),
        ([{"is_sequence": True}], "sequence"),
        ([{}, {"is_sequence": True}], "sequence"),
        ([{"is_weighted": True, "data_type": "FP16"}], "weighted"),
    ],
)
def test_a_table_lives_where_all_its_users_can_reach_it(
    kit: SimpleNamespace, users: list[dict[str, Any]], home: str
) -> None:
    plan = TablePlan()
    for i, options in enumerate(users):
        plan.add(kit.sparse(f"f{i}", embedding_name="t", **options), elements=options.get("is_sequence", False))
    assert home_of(only(plan)) == home
    assert only(plan).kind == ("sequence" if home == "sequence" else "pooled")


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"num_embeddings": 11}, "number of rows: 10 and 11"),
        ({"embedding_dim": 8}, "embedding_dim: 4 and 8"),
        ({"pooling": "mean"}, "pooling: sum and mean"),
        ({"data_type": "FP16"}, "data_type: FP32 and FP16"),
        ({"trainable": False}, "trainable: True and False"),
        ({"init_fn": "nn.init.ones_"}, "init_fn: nn.init.zeros_ and nn.init.ones_"),
    ],
)
def test_users_of_one_table_must_agree(kit: SimpleNamespace, options: dict[str, Any], what: str) -> None:
    plan = TablePlan()
    plan.add(kit.sparse("a", embedding_name="t", init_fn="nn.init.zeros_"))
    with pytest.raises(ConfigError, match=f"'a' and 'b' share the table 't' but disagree on {what}"):
        plan.add(kit.sparse("b", embedding_name="t", **options))


def test_who_gives_no_initializer_takes_the_others(kit: SimpleNamespace) -> None:
    plan = TablePlan()
    plan.add(kit.sparse("a", embedding_name="t"))
    plan.add(kit.sparse("b", embedding_name="t", init_fn="nn.init.ones_"))
    assert only(plan).init_fn == "nn.init.ones_"
    with pytest.raises(ConfigError, match="'b' and 'c' share"):
        plan.add(kit.sparse("c", embedding_name="t", init_fn="nn.init.zeros_"))


def test_elements_of_a_sequence_may_pool_differently(kit: SimpleNamespace) -> None:
    plan = TablePlan()
    plan.add(kit.sparse("seq", embedding_name="t", is_sequence=True, pooling="mean"), elements=True)
    plan.add(kit.sparse("a", embedding_name="t"))
    assert only(plan).pooling == "sum"
    assert {u.feature: u.pooling for u in only(plan).lookups} == {"seq": "mean", "a": "sum"}


def test_a_table_needs_rows_and_a_width(kit: SimpleNamespace) -> None:
    with pytest.raises(ConfigError, match="'a' is used as an embedding but has no embedding_dim"):
        TablePlan().add(kit.sparse("a", embedding_dim=0))
    with pytest.raises(ConfigError, match="'a' is used as an embedding but has no bucketizer"):
        TablePlan().add(kit.sparse("a", num_embeddings=0))

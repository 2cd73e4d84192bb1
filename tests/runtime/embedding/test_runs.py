"""Cutting rows into runs: whatever the groups and the order of the tables, every group gets its columns in order."""

from types import SimpleNamespace

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from tzx.runtime.embedding.groups import EmbeddingGroups
from tzx.runtime.embedding.runs import EmbeddedRows, Neighbours
from tzx.runtime.embedding.specs import Lookup

LOOKUPS = [Lookup(name, f"{name}_emb", "mean" if name == "m" else "sum", "ids") for name in "abcdmef"]
USERS = st.lists(st.permutations(LOOKUPS).flatmap(lambda p: st.integers(0, 7).map(lambda n: p[:n])), max_size=4)


@given(users=USERS, order=st.permutations(LOOKUPS))
def test_every_user_finds_its_columns_in_order(users: list[list[Lookup]], order: list[Lookup]) -> None:
    neighbours = Neighbours()
    for user in users:
        neighbours.add(user)
    runs = neighbours.runs(order)
    assert [lookup for run in runs for lookup in run] == order
    assert all(len(run) == 1 for run in runs if any(u.pooling == "mean" for u in run))
    number = {lookup: torch.tensor([[float(i)]]) for i, lookup in enumerate(LOOKUPS)}
    rows = EmbeddedRows({run: torch.cat([number[u] for u in run], dim=1) for run in runs})
    for user in users:
        if user:
            assert torch.equal(torch.cat(list(rows.pieces(user)), 1), torch.cat([number[u] for u in user], 1))


def test_what_stands_between_two_lookups_parts_them() -> None:
    a, b, c = LOOKUPS[:3]
    neighbours = Neighbours()
    neighbours.add([a, b, None, c])
    assert neighbours.runs([a, b, c]) == [(a, b), (c,)]
    neighbours.add([b])
    assert neighbours.runs([a, b, c]) == [(a,), (b,), (c,)]


def test_a_group_that_is_one_run_is_not_copied(kit: SimpleNamespace) -> None:
    features = [kit.sparse("a"), kit.sparse("b"), kit.dense("x")]
    texts = ['group_name: "deep" feature_names: ["x", "a", "b"]', 'group_name: "fm" feature_names: ["a", "b"]']
    groups = EmbeddingGroups(features, [kit.group(text) for text in texts], kit.layout(features))
    batch = kit.make_batch(features, {"a": [[1], [2]], "b": [[3], []], "x": [[0.5], [1.5]]}, 2)
    (piece,) = groups.collections["pooled"](batch).values()
    outputs = groups(batch)
    assert torch.equal(outputs["fm"], piece)
    assert torch.equal(outputs["deep"][:, 1:], piece)
    outputs["fm"].sum().backward()
    weights = groups.collections["pooled"].collection.embedding_bags
    assert weights["a_emb"].weight.grad is not None
    assert weights["a_emb"].weight.grad.sum() == pytest.approx(8.0)
    assert weights["b_emb"].weight.grad.sum() == pytest.approx(4.0)

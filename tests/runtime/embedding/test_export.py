"""The plain twins export with every size dynamic and run where TorchRec and FBGEMM cannot be imported."""

import copy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from tzx.runtime.data.batch import Batch, BatchLayout, Elements, Jagged
from tzx.runtime.embedding.groups import EmbeddingGroups
from tzx.runtime.embedding.plain import swap_for_serving

GROUPS = """
group_name: "deep" group_type: DEEP
feature_names: ["a", "x", "b", "uw", "y", "w", "item", "u"]
sequence_groups { group_name: "s" feature_names: ["item", "cat", "items", "cats", "times"] }
sequence_encoders { din_encoder { input: "s" attn_mlp { hidden_units: [8] activation: "Dice" } max_seq_length: 3 } }
sequence_encoders { pooling_encoder { input: "s" } }
sequence_encoders { self_attention_encoder { input: "s" multihead_attn_dim: 8 num_heads: 2 } }
|
group_name: "t" group_type: DEEP
feature_names: ["cat"]
sequence_groups { feature_names: ["item", "items"] }
sequence_encoders { simple_attention { input: "t" } }
sequence_encoders { multi_window_din_encoder { input: "t" attn_mlp { hidden_units: [4] } windows_len: [1, 2] } }
|
group_name: "wide" group_type: WIDE feature_names: ["a", "b", "w"]
|
group_name: "flat" group_type: JAGGED_SEQUENCE feature_names: ["item", "items", "times"]
|
group_name: "own" group_type: SEQUENCE feature_names: ["item", "items"] embedding_name_suffix: "own"
"""


class Flat(nn.Module):
    """EmbeddingGroups on a flat mapping of tensors, as an exported graph takes them."""

    def __init__(self, groups: EmbeddingGroups, layout: BatchLayout) -> None:
        super().__init__()
        self.groups, self.layout = groups, layout

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return self.groups(unflatten(inputs, self.layout))


def unflatten(inputs: dict[str, Tensor], layout: BatchLayout) -> Batch:
    def jagged(name: str) -> Jagged:
        return Jagged(inputs[f"{name}.values"], inputs[f"{name}.lengths"].flatten(), inputs.get(f"{name}.weights"))

    def elements(name: str) -> Elements:
        parts = [inputs.get(f"{name}.{p}") for p in ("values", "key_lengths", "seq_lengths", "positions")]
        return Elements(*parts)  # type: ignore[arg-type]

    names = (*layout.sequence_ids, *layout.sequence_dense)
    return Batch(
        size=inputs["dense"].shape[0],
        layout=layout,
        dense=inputs["dense"],
        ids=jagged("ids"),
        weighted_ids=jagged("weighted_ids"),
        sequence_ids=jagged("sequence_ids"),
        sequences={name: elements(name) for name in names},
    )


def flatten(batch: Batch) -> dict[str, Tensor]:
    inputs = {"dense": batch.dense}
    for name in ("ids", "weighted_ids", "sequence_ids"):
        section = getattr(batch, name)
        inputs[f"{name}.values"] = section.values
        inputs[f"{name}.lengths"] = section.lengths.view(-1, batch.size)
        if section.weights is not None:
            inputs[f"{name}.weights"] = section.weights
    for name, e in batch.sequences.items():
        parts = {"values": e.values, "key_lengths": e.key_lengths, "seq_lengths": e.seq_lengths}
        inputs |= {f"{name}.{k}": v for k, v in parts.items() if v is not None}
        inputs[f"{name}.positions"] = e.positions
    return inputs


def dynamic(inputs: dict[str, Tensor]) -> dict[str, dict[int, Any]]:
    """Every size but the number of features and of dense columns."""
    return {k: {1 if k.endswith("ids.lengths") else 0: Dim.DYNAMIC} for k in inputs}


@pytest.fixture(scope="module")
def features(kit: SimpleNamespace) -> list[Any]:
    item = {"embedding_name": "item_emb", "num_embeddings": 50}
    return [
        kit.sparse("a", num_embeddings=20),
        kit.sparse("b", pooling="mean", embedding_dim=8),
        kit.dense("x"),
        kit.dense("y", 3),
        kit.sparse("w", is_weighted=True, pooling="mean"),
        kit.sparse("item", **item),
        kit.sparse("cat", embedding_dim=8, embedding_name="cat_emb", value_dim=1),
        kit.sparse("items", is_sequence=True, **item),
        kit.sparse("cats", is_sequence=True, embedding_dim=8, embedding_name="cat_emb", pooling="mean"),
        kit.dense("times", 2, is_sequence=True),
        kit.sparse("unused"),
        kit.sparse("u", pooling="mean", embedding_name="u_emb"),
        kit.sparse("uw", is_weighted=True, pooling="mean", embedding_name="u_emb"),
    ]


@pytest.fixture(scope="module")
def groups(kit: SimpleNamespace, features: list[Any]) -> EmbeddingGroups:
    torch.manual_seed(1)
    return EmbeddingGroups(features, [kit.group(g) for g in GROUPS.split("|")], kit.layout(features)).eval()


def export(groups: EmbeddingGroups, batch: Batch) -> torch.export.ExportedProgram:
    plain = copy.deepcopy(groups)
    swap_for_serving(plain)
    inputs = flatten(batch)
    with torch.no_grad(), torch.fx.experimental._config.patch(backed_size_oblivious=True):
        return torch.export.export(Flat(plain, batch.layout), (inputs,), dynamic_shapes=({**dynamic(inputs)},))


@pytest.fixture(scope="module")
def program(kit: SimpleNamespace, features: list[Any], groups: EmbeddingGroups) -> torch.export.ExportedProgram:
    return export(groups, kit.make_batch(features, kit.random_rows(features, 32, 5), 32))


@pytest.mark.parametrize(("size", "longest"), [(1, 2), (2, 1), (777, 9), (5, 0), (32, 4)])
def test_graph_gives_what_torchrec_gives(
    kit: SimpleNamespace,
    features: list[Any],
    groups: EmbeddingGroups,
    program: torch.export.ExportedProgram,
    size: int,
    longest: int,
) -> None:
    batch = kit.make_batch(features, kit.random_rows(features, size, size, longest), size)
    with torch.no_grad():
        expected = groups(batch)
        actual = program.module()(flatten(batch))
    assert expected.keys() == actual.keys()
    for name in expected:
        torch.testing.assert_close(actual[name], expected[name], rtol=1e-6, atol=1e-6)


def test_graph_holds_only_aten_operators(program: torch.export.ExportedProgram) -> None:
    called = {n.target for n in program.graph.nodes if n.op == "call_function"}
    operators = {t.namespace for t in called if isinstance(t, torch._ops.OpOverload)}
    others = {t.__module__ for t in called if not isinstance(t, torch._ops.OpOverload)}
    assert operators == {"aten"}
    assert others <= {"_operator"}


RUN = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torchrec", "fbgemm_gpu"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
import torch
import tzx.runtime.embedding.plain

program = torch.export.load(sys.argv[1]).module()
inputs, expected = torch.load(sys.argv[2], weights_only=True)
actual = program(inputs)
for name, value in expected.items():
    torch.testing.assert_close(actual[name], value, rtol=1e-6, atol=1e-6)
print(len(expected), "outputs agree")
"""


@pytest.mark.slow
def test_saved_graph_runs_without_torchrec(
    kit: SimpleNamespace,
    features: list[Any],
    groups: EmbeddingGroups,
    program: torch.export.ExportedProgram,
    tmp_path: Path,
) -> None:
    batch = kit.make_batch(features, kit.random_rows(features, 50, 3), 50)
    with torch.no_grad():
        expected = {k: v.clone() for k, v in groups(batch).items()}
    torch.export.save(program, tmp_path / "graph.pt2")
    torch.save(({k: v.clone() for k, v in flatten(batch).items()}, expected), tmp_path / "case.pt")
    command = [sys.executable, "-c", RUN, str(tmp_path / "graph.pt2"), str(tmp_path / "case.pt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{len(expected)} outputs agree" in done.stdout


def test_half_tables_stay_half_and_give_float(kit: SimpleNamespace) -> None:
    features = [
        kit.sparse("a", data_type="FP16", pooling="mean"),
        kit.sparse("w", data_type="FP16", is_weighted=True),
        kit.sparse("s", data_type="FP16", is_sequence=True, embedding_name="a_emb"),
        kit.sparse("plain", data_type="FP16"),
        kit.sparse("shared", data_type="FP16", embedding_name="plain_emb"),
    ]
    config = 'group_name: "g" group_type: SEQUENCE feature_names: ["a", "w", "plain", "shared", "s"]'
    groups = EmbeddingGroups(features, [kit.group(config)], kit.layout(features))
    plain = copy.deepcopy(groups)
    swap_for_serving(plain)
    assert {p.dtype for p in plain.parameters()} == {torch.float16}
    batch = kit.make_batch(features, kit.random_rows(features, 9, 1), 9)
    expected, actual = groups(batch), plain(batch)
    for name in ("g.query", "g.sequence"):
        assert actual[name].dtype == torch.float32
        torch.testing.assert_close(actual[name], expected[name], rtol=1e-6, atol=1e-6)


def test_id_outside_its_table_reads_row_zero_not_a_neighbour(kit: SimpleNamespace) -> None:
    features = [kit.sparse("a", num_embeddings=3), kit.sparse("b", num_embeddings=3)]
    config = kit.group('group_name: "g" group_type: DEEP feature_names: ["a", "b"]')
    groups = EmbeddingGroups(features, [config], kit.layout(features))
    swap_for_serving(groups)
    wrong = kit.make_batch(features, {"a": [[3], [-1]], "b": [[1], [7]]}, 2)
    right = kit.make_batch(features, {"a": [[0], [0]], "b": [[1], [0]]}, 2)
    assert torch.equal(groups(wrong)["g"], groups(right)["g"])

"""One rank of sharded feature groups, compared with an unsharded float64 reference; run as a script by test_sharded.py.

The reference is the unsharded module in double precision for outputs and gradients, and `sparse_oracle` for updates.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from conftest import group, make_batch, random_rows, sparse  # pytest's conftest, found beside this script
from google.protobuf import text_format
from sparse_oracle import update_table
from torch import Tensor, nn
from torchrec.distributed.model_parallel import DistributedModelParallel
from torchrec.distributed.planner import EmbeddingShardingPlanner, Topology
from torchrec.distributed.planner.types import ParameterConstraints

from tzx.runtime.data.batch import Batch, BatchLayout
from tzx.runtime.embedding.groups import EmbeddingGroups
from tzx.runtime.embedding.sharders import SEQUENCE_TYPES, make_sharders
from tzx.runtime.embedding.tables import table_device
from tzx.runtime.protos.optimizer_pb2 import SparseOptimizer
from tzx.runtime.training.table_optimizers import fuse_table_optimizer

SIZE, STEPS = 12, 3
ITEM = {"embedding_name": "item_emb", "num_embeddings": 31}
FEATURES = [
    sparse("a", num_embeddings=23),
    sparse("b", num_embeddings=17, pooling="mean", embedding_dim=8),
    sparse("odd", num_embeddings=19, embedding_dim=3),
    sparse("w", is_weighted=True, pooling="mean"),
    sparse("u", embedding_name="u_emb"),
    sparse("uw", is_weighted=True, embedding_name="u_emb"),
    sparse("item", **ITEM),
    sparse("items", is_sequence=True, **ITEM),
    sparse("tags", is_sequence=True, embedding_dim=8, pooling="mean"),
]
HALF = [sparse("half", data_type="FP16")]
GROUPS = [
    'group_name: "deep" group_type: DEEP feature_names: ["b", "a", "w", "uw", "item", "u", "odd"]',
    'group_name: "wide" group_type: WIDE feature_names: ["a", "b"]',
    'group_name: "seq" group_type: SEQUENCE feature_names: ["item", "items", "tags"]',
]
HALF_GROUPS = ['group_name: "half" group_type: DEEP feature_names: ["half"]']
DECAY = {"rowwise_adagrad": {"weight_decay": 0.01, "weight_decay_mode": "DECOUPLE"}}
DECAYING = ("adam", "partial_rowwise_adam", "lamb", "partial_rowwise_lamb", "lars_sgd")


def options_of(kind: str) -> dict[str, Any]:
    return {"lr": 0.1} | DECAY.get(kind, {}) | ({"weight_decay": 0.01} if kind in DECAYING else {})


def build(features: list[Any], groups: list[str]) -> EmbeddingGroups:
    return EmbeddingGroups(features, [group(g) for g in groups], BatchLayout.from_features(features))


def shard(case: str, groups: EmbeddingGroups, local: int) -> DistributedModelParallel:
    sharding, kind = case.split("/")
    fields = " ".join(f"{name}: {value}" for name, value in options_of(kind).items())
    config = text_format.Parse(f"{kind}_optimizer {{ {fields} }}", SparseOptimizer())
    weights = [(p, True) for n, p in groups.named_parameters() if "collections" in n]
    fuse_table_optimizer(config, weights, f"{kind}_optimizer")
    constraints = {
        t.name: ParameterConstraints(min_partition=4, sharding_types=[_possible(sharding, t.kind, t.dim)])
        for t in groups.tables
    }
    topology = Topology(dist.get_world_size(), "cpu", local_world_size=local)
    sharders = make_sharders("cpu")
    plan = EmbeddingShardingPlanner(topology=topology, constraints=constraints).collective_plan(groups, sharders)
    return DistributedModelParallel(groups, device=torch.device("cpu"), plan=plan, sharders=sharders)


def _possible(sharding: str, kind: str, dim: int) -> str:
    """Sequence tables know fewer types; "mixed" replicates some tables of a collection and shards the others."""
    if sharding == "mixed":
        return "data_parallel" if dim == 4 else "row_wise"
    return sharding if kind != "sequence" or sharding in SEQUENCE_TYPES else "row_wise"


def pieces(sharded: nn.Module) -> Iterator[tuple[str, Tensor, int, int]]:
    """This rank's pieces of every table: name, rows, first row and first column."""
    for name, value in sharded.state_dict().items():
        if hasattr(value, "local_shards"):
            for piece in value.local_shards():
                yield name, piece.tensor, *piece.metadata.shard_offsets
        else:
            yield name, value, 0, 0


def split_columns(sharded: nn.Module) -> dict[str, list[slice]]:
    """Columns of each table that are updated by themselves."""
    found = {}
    for name, value in sharded.state_dict().items():
        if hasattr(value, "local_shards"):
            shards = value.metadata().shards_metadata
            found[name] = [slice(c, c + s.shard_sizes[1]) for s in shards for c in [s.shard_offsets[1]]]
        else:
            found[name] = [slice(0, value.shape[1])]
    return {
        name: sorted({(s.start, s.stop): s for s in cut}.values(), key=lambda s: s.start) for name, cut in found.items()
    }


class Reference:
    """The unsharded module in float64, with an optimizer that knows which rows were touched."""

    def __init__(self, module: EmbeddingGroups, kind: str, columns: dict[str, list[slice]]) -> None:
        self.module, self._kind, self._columns = module.double(), kind, columns
        self._states: dict[tuple[str, int], dict[str, np.ndarray]] = {}

    def train(self, batches: list[Batch]) -> None:
        self.module.zero_grad()
        total = sum((objective(self.module(double(b))) for b in batches), torch.zeros(()))
        (total / len(batches)).backward()  # TorchRec divides gradients by the number of ranks
        for name, weight in self.module.named_parameters():
            features = next(t.feature_names for t in self.module.tables if t.name == name.split(".")[-2])
            touched = {int(i) for b in batches for f in features for i in ids_of(b, f)}
            for cut in self._columns[name]:
                table, gradient = (t.detach().numpy()[:, cut] for t in (weight, weight.grad))
                states = self._states.setdefault((name, cut.start), {})
                update_table(self._kind, table, gradient, touched, states, options_of(self._kind))


def double(batch: Batch) -> Batch:
    if batch.weighted_ids.weights is not None and batch.weighted_ids.weights.dtype != torch.float64:
        batch.weighted_ids.weights = batch.weighted_ids.weights.double()
    return batch


def ids_of(batch: Batch, feature: str) -> Tensor:
    for section in ("ids", "weighted_ids", "sequence_ids"):
        names = list(getattr(batch.layout, section))
        if feature in names:
            if section == "sequence_ids":
                return batch.sequences[feature].values
            jagged, i = getattr(batch, section), names.index(feature)
            ends = jagged.lengths.view(len(names), -1).sum(1).cumsum(0).tolist()
            return jagged.values[ends[i - 1] if i else 0 : ends[i]]
    raise KeyError(feature)


def objective(outputs: dict[str, Tensor]) -> Tensor:
    return sum((v.square().sum() for v in outputs.values() if v.is_floating_point()), torch.zeros(()))


def batches(features: list[Any], world: int, step: int) -> list[Batch]:
    seeds = range(step * world, (step + 1) * world)
    return [make_batch(features, random_rows(features, SIZE, seed), SIZE) for seed in seeds]


def compare(case: str, rank: int, world: int, local: int) -> dict[str, float]:
    """The largest gaps of outputs before and after some steps, and of the tables' weights."""
    features, groups = (HALF, HALF_GROUPS) if case.startswith("half:") else (FEATURES, GROUPS)
    case = case.removeprefix("half:")
    torch.manual_seed(0)
    unsharded = build(features, groups)
    with table_device("meta"):
        sharded = shard(case, build(features, groups), local)
    with torch.no_grad():
        for name, piece, row, column in pieces(sharded):
            whole = unsharded.state_dict()[name]
            piece.copy_(whole[row : row + piece.shape[0], column : column + piece.shape[1]])
    reference = Reference(unsharded, case.split("/")[1], split_columns(sharded))
    gaps = {}
    for step in range(STEPS):
        every = batches(features, world, step)
        actual = sharded(every[rank])
        gaps[f"outputs of step {step}"] = difference(
            reference.module(double(batches(features, world, step)[rank])), actual
        )
        objective(actual).backward()
        reference.train(batches(features, world, step))
    assert_replicas_are_equal(sharded)
    whole = reference.module.state_dict()
    for name, piece, row, column in pieces(sharded):
        part = whole[name][row : row + piece.shape[0], column : column + piece.shape[1]]
        gaps[f"{name}, column {column}"] = float((part - piece).abs().max()) if piece.numel() else 0.0
    return gaps


def assert_replicas_are_equal(sharded: nn.Module) -> None:
    for name, value in sharded.state_dict().items():
        if not hasattr(value, "local_shards"):
            every: list[Any] = [None] * dist.get_world_size()
            dist.all_gather_object(every, value)
            assert all(torch.equal(every[0], other) for other in every), name


def difference(expected: dict[str, Tensor], actual: dict[str, Tensor]) -> float:
    assert expected.keys() == actual.keys()
    return max(float((v.detach() - actual[n].detach()).abs().max()) for n, v in expected.items())


def main(cases: str, rank: int, world: int, local: int, meeting_point: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{meeting_point}", rank=rank, world_size=world)
    print(json.dumps({case: compare(case, rank, world, local) for case in cases.split(",")}))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])

"""One rank of a sharded EmbeddingGroups, compared with an unsharded one; run as a script by test_sharded.py."""

import json
import sys

import torch
import torch.distributed as dist
from conftest import group, make_batch, random_rows, sparse  # pytest's conftest, found beside this script
from torch import Tensor, nn
from torch.distributed.optim import _apply_optimizer_in_backward
from torchrec.distributed.embedding import EmbeddingCollectionSharder
from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
from torchrec.distributed.model_parallel import DistributedModelParallel
from torchrec.distributed.planner import EmbeddingShardingPlanner, Topology
from torchrec.distributed.planner.types import ParameterConstraints

from tzx.runtime.data.batch import Batch, BatchLayout
from tzx.runtime.embedding.groups import EmbeddingGroups
from tzx.runtime.embedding.tables import table_device

SIZE = 12
LR = 0.5
ITEM = {"embedding_name": "item_emb", "num_embeddings": 31}
FEATURES = [
    sparse("a", num_embeddings=23),
    sparse("b", num_embeddings=17, pooling="mean", embedding_dim=8),
    sparse("w", is_weighted=True, pooling="mean"),
    sparse("half", data_type="FP16"),
    sparse("u", embedding_name="u_emb"),
    sparse("uw", is_weighted=True, embedding_name="u_emb"),
    sparse("item", **ITEM),
    sparse("items", is_sequence=True, **ITEM),
    sparse("tags", is_sequence=True, embedding_dim=8, pooling="mean"),
]
GROUPS = [
    'group_name: "deep" group_type: DEEP feature_names: ["b", "a", "w", "uw", "item", "u"]',
    'group_name: "half" group_type: DEEP feature_names: ["half"]',
    'group_name: "wide" group_type: WIDE feature_names: ["a", "b"]',
    'group_name: "seq" group_type: SEQUENCE feature_names: ["item", "items", "tags"]',
]


class Pooled(EmbeddingBagCollectionSharder):
    def __init__(self, sharding: str) -> None:
        super().__init__()
        self.sharding = sharding

    def sharding_types(self, compute_device_type: str) -> list[str]:
        return [self.sharding]

    def compute_kernels(self, sharding_type: str, compute_device_type: str) -> list[str]:
        return ["dense"] if sharding_type == "data_parallel" else ["fused"]


class Sequences(EmbeddingCollectionSharder):
    def __init__(self, sharding: str) -> None:
        super().__init__()
        self.sharding = sharding

    def sharding_types(self, compute_device_type: str) -> list[str]:
        # TorchRec's sequence tables do not work data-parallel on CPU.
        return ["table_wise" if self.sharding == "data_parallel" else self.sharding]

    def compute_kernels(self, sharding_type: str, compute_device_type: str) -> list[str]:
        return ["fused"]


def build() -> EmbeddingGroups:
    return EmbeddingGroups(FEATURES, [group(g) for g in GROUPS], BatchLayout.from_features(FEATURES))


def shard(sharding: str, world: int) -> DistributedModelParallel:
    with table_device("meta"):
        groups = build()
    parameters = [p for n, p in groups.named_parameters() if "collections" in n]
    _apply_optimizer_in_backward(torch.optim.SGD, parameters, {"lr": LR})
    sharders = [Pooled(sharding), Sequences(sharding)]
    tables = {t.name: ParameterConstraints(min_partition=4) for t in groups.tables}
    planner = EmbeddingShardingPlanner(topology=Topology(world, "cpu", local_world_size=world), constraints=tables)
    plan = planner.collective_plan(groups, sharders, dist.group.WORLD)
    return DistributedModelParallel(groups, device=torch.device("cpu"), plan=plan, sharders=sharders)


def fill(sharded: nn.Module, reference: EmbeddingGroups) -> None:
    """Copy the reference's rows into the shards of this rank."""
    weights = reference.state_dict()
    for name, value in sharded.state_dict().items():
        if not isinstance(value, Tensor) or hasattr(value, "local_shards"):
            for piece in value.local_shards():
                (row, column), (rows, columns) = piece.metadata.shard_offsets, piece.metadata.shard_sizes
                piece.tensor.copy_(weights[name][row : row + rows, column : column + columns])
        else:
            value.copy_(weights[name])


def objective(outputs: dict[str, Tensor]) -> Tensor:
    return sum((v.square().sum() for v in outputs.values() if v.is_floating_point()), torch.zeros(()))


def batches(world: int) -> list[Batch]:
    return [make_batch(FEATURES, random_rows(FEATURES, SIZE, seed), SIZE) for seed in range(world)]


def compare(sharding: str, rank: int, world: int) -> dict[str, dict[str, float]]:
    torch.manual_seed(0)
    reference, sharded = build(), shard(sharding, world)
    with torch.no_grad():
        fill(sharded, reference)
    every = batches(world)
    expected, actual = reference(every[rank]), sharded(every[rank])
    forward = differences(expected, actual)
    # TorchRec divides gradients by the number of ranks.
    (sum(objective(reference(b)) for b in every) / world).backward()  # type: ignore[union-attr]
    torch.optim.SGD(reference.parameters(), lr=LR).step()
    objective(actual).backward()
    # Data-parallel tables have no fused optimizer.
    if dense := [p for p in sharded.parameters() if p.grad is not None]:
        torch.optim.SGD(dense, lr=LR).step()
    return {"forward": forward, "after a step": differences(reference(every[rank]), sharded(every[rank]))}


def differences(expected: dict[str, Tensor], actual: dict[str, Tensor]) -> dict[str, float]:
    assert expected.keys() == actual.keys()
    for name, value in expected.items():
        assert (value.shape, value.dtype) == (actual[name].shape, actual[name].dtype), name
    return {n: float((v.detach() - actual[n].detach()).abs().max()) for n, v in expected.items()}


def main(shardings: str, rank: int, world: int, meeting_point: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{meeting_point}", rank=rank, world_size=world)
    print(json.dumps({sharding: compare(sharding, rank, world) for sharding in shardings.split(",")}))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])

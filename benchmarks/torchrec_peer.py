"""Trains models of TorchRec alone on rows that tzx wrote, on batches that are ready in memory; imports nothing of tzx.

Tables, optimizers and training step are as TorchRec's documentation has them: one embedding bag collection, whose
Adagrad is fused into the backward pass, under DistributedModelParallel, and Adam for the rest. TorchRec's planner would
keep small tables out of that, so they are told to be fused as well. Layers are TorchRec's, but for the factorization
machine: its own treats each number of an embedding as a feature. A table is at least 4 wide there; of the linear part's
only the first column is used.
"""

import os
from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.distributed as dist
from peer_training import DENSE, HIDDEN, Arrays, Settings, Specs, load, print_figures, read_settings
from torch import Tensor, nn
from torchrec import EmbeddingBagCollection, EmbeddingBagConfig, KeyedJaggedTensor
from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
from torchrec.distributed.model_parallel import DistributedModelParallel
from torchrec.distributed.planner import EmbeddingShardingPlanner, ParameterConstraints, Topology
from torchrec.models.dlrm import DenseArch, InteractionArch, OverArch
from torchrec.modules.crossnet import CrossNet, LowRankCrossNet
from torchrec.modules.mlp import MLP
from torchrec.optim.apply_optimizer_in_backward import apply_optimizer_in_backward
from torchrec.optim.keyed import CombinedOptimizer, KeyedOptimizerWrapper
from torchrec.optim.optimizers import in_backward_optimizer_filter
from turns import Turns

CROSSES = 3
LINEAR = 4
Batch = tuple[KeyedJaggedTensor, Tensor, Tensor]


class Model(nn.Module):
    """What all share: the tables, and logits [B, 1] from embeddings and dense columns."""

    linear = False

    def __init__(self, specs: Specs, dense: int, settings: Settings) -> None:
        super().__init__()
        self.count, self.dim = len(specs), next(iter(specs.values()))["dim"]
        self.width = self.count * self.dim + dense
        tables = [_table(name, spec, spec["dim"], settings) for name, spec in specs.items()]
        if self.linear:
            tables += [_table(name, spec, LINEAR, settings) for name, spec in specs.items()]
        self.tables = EmbeddingBagCollection(tables=tables, device=torch.device("meta"))
        apply_optimizer_in_backward(torch.optim.Adagrad, self.tables.parameters(), {"lr": settings.table_lr})
        self.make(dense, settings)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_normal_(layer.weight)
                nn.init.zeros_(layer.bias)

    def make(self, dense: int, settings: Settings) -> None:
        """Layers."""
        raise NotImplementedError

    def logit(self, found_BX: Tensor, dense_BN: Tensor) -> Tensor:
        """Logit [B, 1] from what was looked up, the linear part's behind the rest, and the dense columns."""
        raise NotImplementedError

    def forward(self, ids: KeyedJaggedTensor, dense_BN: Tensor) -> Tensor:
        """[B] logits."""
        return self.logit(self.tables(ids).values(), dense_BN).squeeze(1)


class DeepFM(Model):
    linear = True

    def make(self, dense: int, settings: Settings) -> None:
        self.deep = nn.Sequential(MLP(self.width, HIDDEN), nn.Linear(HIDDEN[-1], 1))
        self.bias = nn.Parameter(torch.zeros(1))

    def logit(self, found_BX: Tensor, dense_BN: Tensor) -> Tensor:
        flat_BD, linear_BL = found_BX.split([self.count * self.dim, self.count * LINEAR], dim=1)
        fields_BFD = flat_BD.unflatten(1, (self.count, self.dim))
        fm_BD = (fields_BFD.sum(dim=1) ** 2 - (fields_BFD**2).sum(dim=1)) / 2
        first_B1 = linear_BL[:, ::LINEAR].sum(dim=1, keepdim=True) + self.bias
        return first_B1 + fm_BD.sum(dim=1, keepdim=True) + self.deep(torch.cat([flat_BD, dense_BN], dim=1))


class DLRM(Model):
    """With the embeddings beside their products, as in the other libraries."""

    def make(self, dense: int, settings: Settings) -> None:
        self.bottom = DenseArch(dense, [64, self.dim])
        self.products = InteractionArch(self.count)
        self.top = OverArch((self.count + 1) * self.count // 2 + (self.count + 1) * self.dim, [*HIDDEN, 1])

    def logit(self, found_BX: Tensor, dense_BN: Tensor) -> Tensor:
        products_BX = self.products(self.bottom(dense_BN), found_BX.unflatten(1, (self.count, self.dim)))
        return self.top(torch.cat([products_BX, found_BX], dim=1))


class DCNV2(Model):
    def make(self, dense: int, settings: Settings) -> None:
        rank = settings.cross_rank
        self.cross = LowRankCrossNet(self.width, CROSSES, rank) if rank else CrossNet(self.width, CROSSES)
        self.deep = MLP(self.width, HIDDEN)
        self.head = nn.Linear(self.width + HIDDEN[-1], 1)

    def logit(self, found_BX: Tensor, dense_BN: Tensor) -> Tensor:
        flat_BD = torch.cat([found_BX, dense_BN], dim=1)
        return self.head(torch.cat([self.cross(flat_BD), self.deep(flat_BD)], dim=1))


MODELS: dict[str, Callable[..., Model]] = {cls.__name__: cls for cls in (DeepFM, DLRM, DCNV2)}


def _table(name: str, spec: dict, width: int, settings: Settings) -> EmbeddingBagConfig:
    start = partial(nn.init.normal_, std=settings.init_std)
    return EmbeddingBagConfig(
        name=f"{name}_{width}",
        embedding_dim=width,
        num_embeddings=spec["rows"],
        feature_names=[name],
        init_fn=start,
    )


def sharded(model: Model) -> DistributedModelParallel:
    """The model with all its tables fused, in this one process."""
    names = [table.name for table in model.tables.embedding_bag_configs()]
    fused = ParameterConstraints(sharding_types=["table_wise"], compute_kernels=["fused"])
    planner = EmbeddingShardingPlanner(
        topology=Topology(world_size=1, compute_device="cpu"), constraints=dict.fromkeys(names, fused)
    )
    sharders = [EmbeddingBagCollectionSharder()]
    plan = planner.plan(model, sharders)  # type: ignore[arg-type]
    return DistributedModelParallel(model, device=torch.device("cpu"), plan=plan, sharders=sharders)  # type: ignore[arg-type]


def batches(specs: Specs, part: Arrays, settings: Settings, shuffled: bool) -> Iterator[Batch]:
    """An epoch, in an order of its own if shuffled; ids are counted from 1 in the arrays, and 0 is none."""
    rows = len(part["label"])
    order = torch.randperm(rows) if shuffled else torch.arange(rows)
    for taken in order.split(settings.batch):
        bags = [part[name][taken].reshape(len(taken), -1) for name in specs]
        values = torch.cat([bag[bag > 0] - 1 for bag in bags])
        lengths = torch.cat([(bag > 0).sum(dim=1) for bag in bags])
        dense = part[DENSE][taken] if DENSE in part else torch.empty(len(taken), 0)
        yield KeyedJaggedTensor.from_lengths_sync(list(specs), values, lengths), dense, part["label"][taken].float()


def train(model: DistributedModelParallel, ready: list[Batch], settings: Settings) -> Turns:
    """A step on every batch, with both optimizers as one."""
    rest = dict(in_backward_optimizer_filter(model.named_parameters()))
    adam = KeyedOptimizerWrapper(rest, lambda params: torch.optim.Adam(params, lr=settings.dense_lr))
    optimizer = CombinedOptimizer([model.fused_optimizer, adam])
    loss_of = nn.BCEWithLogitsLoss()
    turns = Turns(settings.window, settings.turns)
    model.train()
    for ids, dense, labels in ready:
        optimizer.zero_grad()
        loss_of(model(ids, dense), labels).backward()
        optimizer.step()
        turns.step()
    return turns


def main() -> None:
    settings = read_settings("torchrec", list(MODELS), __doc__)
    if settings is None:
        return
    os.environ.setdefault("LOCAL_WORLD_SIZE", "1")
    dist.init_process_group("gloo", rank=0, world_size=1, store=dist.HashStore())
    specs, parts = load(settings.data)
    torch.manual_seed(settings.seed)
    dense = parts["train"][DENSE].shape[1] if DENSE in parts["train"] else 0
    model = sharded(MODELS[settings.model](specs, dense, settings))
    ready = [batch for _ in range(settings.epochs) for batch in batches(specs, parts["train"], settings, shuffled=True)]
    turns = train(model, ready, settings)
    model.eval()
    with torch.no_grad():
        tests = batches(specs, parts["test"], settings, shuffled=False)
        scores = torch.cat([model(ids, dense).sigmoid() for ids, dense, _ in tests])
    print_figures(model, turns, settings, parts["test"]["label"], scores.numpy())


if __name__ == "__main__":
    main()

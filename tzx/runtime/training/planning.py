"""From a config to what a sharding plan is made of: the same for training, evaluation and a preview on any machine."""

from contextlib import nullcontext

from torch import Tensor, nn

from tzx.runtime.data.batch import Batch
from tzx.runtime.embedding.cluster import Cluster
from tzx.runtime.embedding.plan_costs import Workload
from tzx.runtime.embedding.row_updates import RULES
from tzx.runtime.embedding.tables import table_device
from tzx.runtime.errors import ConfigError
from tzx.runtime.features import FeatureSet
from tzx.runtime.models import build_model
from tzx.runtime.models.base import Model
from tzx.runtime.nn.steady import steady_statistics
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig
from tzx.runtime.training.id_maps import restrict
from tzx.runtime.training.sharding import PlanRequest, ids_per_row, make_constraints
from tzx.runtime.training.table_optimizers import check_table_optimizer, fuse_table_optimizer, rule_of


class LossModule(nn.Module):
    """Predictions and losses of a batch in one forward pass, so that one wrapper can shard and replicate all of it."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return losses and detached predictions."""
        with steady_statistics(self.model) if batch.is_filler else nullcontext():
            predictions = self.model.predict(batch)
            losses = self.model.loss(predictions, batch)
        return losses, {name: p.detach() for name, p in predictions.items()}


def request_plan(config: EasyRecConfig, features: FeatureSet, cluster: Cluster, training: bool) -> PlanRequest:
    """Build the model, its tables without memory, and say what a plan of it depends on.

    Args:
        config: a checked config.
        features: its features.
        cluster: the ranks to plan for.
        training: with optimizers, which are attached to the tables.
    """
    with table_device("meta"):  # shards are made and initialised where the plan puts them
        model = build_model(config, features)
    _check_widths(model, cluster)
    sparse = config.train_config.sparse_optimizer
    which = check_table_optimizer(sparse, cluster.device_type) if training else ""
    if which:
        fuse_table_optimizer(sparse, _table_weights(model), which)
    rule = rule_of(which) if which else RULES["exact_sgd"]
    found = features.by_name
    constraints = make_constraints(model.tables, found, config.train_config, cluster, rule)
    restrict(constraints, model.tables, cluster.device_type)
    return PlanRequest(
        module=LossModule(model),
        tables=model.tables,
        constraints=constraints,
        rule=rule,
        cluster=cluster,
        work=Workload(config.data_config.batch_size, {name: ids_per_row(f) for name, f in found.items()}),
        dense_parameters=sum(p.numel() for name, p in model.named_parameters() if not is_table(name)),
    )


def is_table(parameter_name: str) -> bool:
    """Whether a parameter of a model is an embedding table."""
    return ".collection." in parameter_name


def _table_weights(model: Model) -> list[tuple[nn.Parameter, bool]]:
    """Weight of every table, and whether it is trained."""
    weights = []
    for name, parameter in model.named_parameters():
        if is_table(name):
            weights.append((parameter, model.tables[name.split(".")[-2]].trainable))
    return weights


def _check_widths(model: Model, cluster: Cluster) -> None:
    """FBGEMM's kernels on GPU move four floats at a time and assert on anything else."""
    odd = [f"{table.name} ({table.dim})" for table in model.tables.values() if table.dim % 4]
    if odd and not cluster.on_cpu:
        raise ConfigError(
            f"on GPU, the width of an embedding table must be a multiple of 4, but it is not for {', '.join(odd)}; "
            f"change embedding_dim, or wide_embedding_dim of the model"
        )

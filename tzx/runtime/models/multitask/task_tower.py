"""The last layers of one task. Legend: B rows, C classes, D input width."""

from torch import Tensor, nn

from tzx.runtime.nn.mlp import MLP
from tzx.runtime.protos.tower_pb2 import TaskTower as TaskTowerConfig


class TaskTower(nn.Module):
    """The tower's MLP, if it has one, then a linear layer.

    Args:
        in_dim: D.
        config: mlp and num_class of the tower.
    """

    def __init__(self, in_dim: int, config: TaskTowerConfig) -> None:
        super().__init__()
        self.mlp = MLP(in_dim, config.mlp) if config.HasField("mlp") else None
        self.output = nn.Linear(self.mlp.out_dim if self.mlp else in_dim, config.num_class)

    def forward(self, x_BD: Tensor) -> Tensor:
        """[B, D] to logits [B, C]."""
        return self.output(x_BD if self.mlp is None else self.mlp(x_BD))

"""What DBMTL and DC2VR put between the embeddings and their tasks, and the towers' references to each other.

Legend: B rows, D width of the group, H width of the result.
"""

from collections.abc import Sequence

from google.protobuf.message import Message
from torch import Tensor, nn

from tzx.runtime.config.problems import hint
from tzx.runtime.errors import ConfigError
from tzx.runtime.nn.experts import MixtureOfExperts
from tzx.runtime.nn.masknet import MaskNetBlocks
from tzx.runtime.nn.mlp import MLP


class SharedBottom(nn.Module):
    """[mask net] -> [MLP] -> [mixture of experts], each where the config has it; without experts all get the same.

    Args:
        in_dim: D.
        config: a message with bottom_mlp, expert_mlp, gate_mlp, num_expert and perhaps mask_net.
        num_tasks: number of outputs.
    """

    def __init__(self, in_dim: int, config: Message, num_tasks: int) -> None:
        super().__init__()
        has_mask_net = "mask_net" in config.DESCRIPTOR.fields_by_name and config.HasField("mask_net")
        self.num_tasks = num_tasks
        self.mask_net = MaskNetBlocks(in_dim, config.mask_net) if has_mask_net else None  # type: ignore[attr-defined]
        width = self.mask_net.out_dim if self.mask_net else in_dim
        self.mlp = MLP(width, config.bottom_mlp) if config.HasField("bottom_mlp") else None  # type: ignore[attr-defined]
        width = self.mlp.out_dim if self.mlp else width
        self.mmoe = _experts(width, config, num_tasks) if config.HasField("expert_mlp") else None
        self.out_dim: int = self.mmoe.out_dim if self.mmoe else width

    def forward(self, x_BD: Tensor) -> list[Tensor]:
        """[B, D] to one [B, H] per task."""
        x = x_BD if self.mask_net is None else self.mask_net(x_BD)
        x = x if self.mlp is None else self.mlp(x)
        return [x] * self.num_tasks if self.mmoe is None else self.mmoe(x)


def _experts(width: int, config: Message, num_tasks: int) -> MixtureOfExperts:
    number = config.num_expert  # type: ignore[attr-defined]
    if number < 1:
        raise ConfigError(f"num_expert is {number}; allowed: 1 or more")
    gate = config.gate_mlp if config.HasField("gate_mlp") else None  # type: ignore[attr-defined]
    return MixtureOfExperts(width, config.expert_mlp, number, num_tasks, gate)  # type: ignore[attr-defined]


def earlier_towers(names: Sequence[str], field: str, at: int, towers: Sequence[Message]) -> list[int]:
    """Positions of the towers that tower `at` names in `field`.

    Raises:
        ConfigError: a name is unknown, or that of a tower which is not declared before.
    """
    known = [tower.tower_name for tower in towers]  # type: ignore[attr-defined]
    for name in names:
        where = f"task_towers[{at}] ({known[at]}).{field}"
        if name not in known:
            raise ConfigError(f"{where}: no tower is called {name!r}{hint(name, known[:at])}")
        if name not in known[:at]:
            raise ConfigError(f"{where}: {name!r} must be declared before the tower that builds on it")
    return [known.index(name) for name in names]

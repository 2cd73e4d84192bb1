"""Extraction layers: experts of each task beside shared ones.

Legend: B rows, D input width, E experts, H expert width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tzx.runtime.errors import ConfigError
from tzx.runtime.nn.mlp import MLP
from tzx.runtime.protos import module_pb2


class Extraction(nn.Module):
    """Each task mixes its own and the shared experts by softmax(Linear(its input)); the shared part mixes all experts.

    Source: Tang et al. 2020, Progressive Layered Extraction, sections 4.2 and 4.3.

    Args:
        in_dim: D, of every input.
        num_tasks: number of task inputs and outputs.
        config: kind and number of experts.
        with_shared: whether a later layer needs the shared output.
    """

    def __init__(self, in_dim: int, num_tasks: int, config: module_pb2.ExtractionNetwork, with_shared: bool) -> None:
        super().__init__()
        own, shared = config.expert_num_per_task, config.share_num
        if own + shared < 1:
            raise ConfigError("expert_num_per_task and share_num are both 0; a task needs at least one expert")
        if shared and not config.HasField("share_expert_net"):
            raise ConfigError(f"share_num is {shared}, but share_expert_net is missing")
        self.task_experts = nn.ModuleList(_experts(in_dim, config.task_expert_net, own) for _ in range(num_tasks))
        self.shared_experts = _experts(in_dim, config.share_expert_net, shared)
        widths = {_width(experts) for experts in (*self.task_experts, self.shared_experts) if len(experts)}
        if len(widths) > 1:
            raise ConfigError(
                f"task_expert_net ends with {_width(self.task_experts[0])} units and share_expert_net with "
                f"{_width(self.shared_experts)}; they must be equal"
            )
        (self.out_dim,) = widths
        self.gates = nn.ModuleList(nn.Linear(in_dim, own + shared) for _ in range(num_tasks))
        self.shared_gate = nn.Linear(in_dim, num_tasks * own + shared) if with_shared else None

    def forward(self, tasks: Sequence[Tensor], shared_BD: Tensor) -> tuple[list[Tensor], Tensor]:
        """One input [B, D] per task and the shared one to as many outputs [B, H].

        Without a shared gate the shared output is the shared input.
        """
        shared = _all(self.shared_experts, shared_BD)
        own = [_all(experts, x) for experts, x in zip(self.task_experts, tasks, strict=True)]
        outputs = [_mix(gate(x), [*o, *shared]) for gate, x, o in zip(self.gates, tasks, own, strict=True)]
        if self.shared_gate is None:
            return outputs, shared_BD
        everyone = [expert for experts in own for expert in experts]
        return outputs, _mix(self.shared_gate(shared_BD), [*everyone, *shared])


def _experts(in_dim: int, config: module_pb2.MLP, number: int) -> nn.ModuleList:
    return nn.ModuleList(MLP(in_dim, config) for _ in range(number))


def _all(experts: nn.Module, x_BD: Tensor) -> list[Tensor]:
    return [expert(x_BD) for expert in experts.children()]


def _width(experts: nn.Module) -> int:
    return experts[0].out_dim  # type: ignore[index, union-attr, return-value]


def _mix(scores_BE: Tensor, experts: list[Tensor]) -> Tensor:
    weights_B1E = torch.softmax(scores_BE, dim=1).unsqueeze(1)
    return torch.bmm(weights_B1E, torch.stack(experts, dim=1)).squeeze(1)

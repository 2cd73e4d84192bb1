"""Mixture of experts with one gate per task.

Legend: B rows, D input width, E experts, H expert width.
"""

import torch
from torch import Tensor, nn

from tzx.runtime.nn.mlp import MLP
from tzx.runtime.protos import module_pb2


class MixtureOfExperts(nn.Module):
    """Shared expert networks; every task weighs them by softmax(Linear(gate_mlp(x) or x)).

    Source: Ma et al., Modeling Task Relationships in Multi-task Learning with MMoE, section 4.2.

    Args:
        in_dim: D.
        expert_mlp: what each expert is.
        num_experts: E.
        num_tasks: number of gates, and of outputs.
        gate_mlp: layers before the Linear of each gate, or None.
    """

    def __init__(
        self,
        in_dim: int,
        expert_mlp: module_pb2.MLP,
        num_experts: int,
        num_tasks: int,
        gate_mlp: module_pb2.MLP | None = None,
    ) -> None:
        super().__init__()
        self.experts = nn.ModuleList(MLP(in_dim, expert_mlp) for _ in range(num_experts))
        self.gates = nn.ModuleList(make_gate(in_dim, num_experts, gate_mlp) for _ in range(num_tasks))
        self.out_dim: int = self.experts[0].out_dim  # type: ignore[assignment]

    def forward(self, x_BD: Tensor) -> list[Tensor]:
        """[B, D] to one [B, H] per task."""
        experts_BEH = torch.stack([expert(x_BD) for expert in self.experts], dim=1)
        outputs = []
        for gate in self.gates:
            weights_BE = torch.softmax(gate(x_BD), dim=1)
            outputs.append(torch.bmm(weights_BE.unsqueeze(1), experts_BEH).squeeze(1))
        return outputs


def make_gate(in_dim: int, num_experts: int, config: module_pb2.MLP | None) -> nn.Module:
    """Scores [B, E] of the experts for an input [B, D]: Linear(MLP(x)), or Linear(x) without a config."""
    if config is None:
        return nn.Linear(in_dim, num_experts)
    mlp = MLP(in_dim, config)
    return nn.Sequential(mlp, nn.Linear(mlp.out_dim, num_experts))

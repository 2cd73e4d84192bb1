"""Interests drawn from a sequence, and their evolution towards a query.

The attentional recurrence has a backward pass of its own: autograd would keep a dozen tensors for every step and add up
the gradient of the weights step by step, where one matrix product after the last step does.

Legend: B rows, T positions, S time steps, oldest first, D width of elements and states, Q width of the query.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from tzx.runtime.errors import ConfigError
from tzx.runtime.nn.jagged import valid_positions
from tzx.runtime.protos.sequence_model_pb2 import DIENTower


class InterestEvolution(nn.Module):
    """h = GRU(sequence); a = softmax(h W query); the last state of AUGRU(h, a).

    Source: Zhou et al. 2019, Deep Interest Evolution Network, sections 4.2 and 4.3.

    Args:
        query_dim: Q.
        sequence_dim: D, also the output width.
        config: longest sequence, and its order.
    """

    def __init__(self, query_dim: int, sequence_dim: int, config: DIENTower) -> None:
        super().__init__()
        if config.max_seq_length < 1:
            raise ConfigError(f"max_seq_length is {config.max_seq_length}; allowed: 1 or more")
        self.max_seq_length, self.newest_first = config.max_seq_length, config.newest_first
        self.gru = nn.GRU(sequence_dim, sequence_dim, batch_first=True)
        self.attention = nn.Linear(query_dim, sequence_dim, bias=False)
        self.augru = AttentionalGRU(sequence_dim, sequence_dim)
        self.out_dim = sequence_dim

    def forward(self, query_BQ: Tensor, sequence_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """Encode the sequence: [B, D], zero for a row without elements."""
        elements_BSD, valid_BS = self.in_time(sequence_BTD, lengths_B)
        return self.evolve(query_BQ, self.interests(elements_BSD), valid_BS)

    def in_time(self, sequence_BTD: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        """The newest `max_seq_length` elements, oldest first: [B, S, D], zero where a row has none, and bool [B, S]."""
        steps = self.max_seq_length  # all of them in a traced graph, which unrolls the recurrence
        if not torch.compiler.is_compiling():
            steps = max(1, min(steps, sequence_BTD.shape[1]))
        steps_S = torch.arange(steps, device=sequence_BTD.device)
        kept_B1 = lengths_B.long().clamp(max=self.max_seq_length).unsqueeze(1)
        valid_BS = valid_positions(kept_B1.squeeze(1), steps_S)
        at_BS = kept_B1 - 1 - steps_S if self.newest_first else lengths_B.unsqueeze(1) - kept_B1 + steps_S
        at_BSD = torch.where(valid_BS, at_BS, 0).unsqueeze(2).expand(-1, -1, sequence_BTD.shape[2])
        # One more position, because a batch may have none at all.
        elements_BSD = F.pad(sequence_BTD, (0, 0, 0, 1)).gather(1, at_BSD)
        return elements_BSD * valid_BS.unsqueeze(2), valid_BS

    def interests(self, elements_BSD: Tensor) -> Tensor:
        """State after every step, [B, S, D]."""
        return self.gru(elements_BSD)[0]  # type: ignore[no-any-return]

    def evolve(self, query_BQ: Tensor, interests_BSD: Tensor, valid_BS: Tensor) -> Tensor:
        """Last state [B, D] of the recurrence in which steps count by their attention."""
        score_BS = torch.bmm(interests_BSD, self.attention(query_BQ).unsqueeze(2)).squeeze(2).float()
        # Steps a row does not have get no attention, so they leave the state as it is.
        weight_BS = torch.softmax(score_BS.masked_fill(~valid_BS, torch.finfo(torch.float32).min), dim=1) * valid_BS
        return self.augru(interests_BSD, weight_BS)

    def auxiliary_loss(self, interests_BSD: Tensor, elements_BSD: Tensor, valid_BS: Tensor) -> Tensor:
        """Every state should tell the next element from another one of the batch.

        The mean over all pairs of -log sigmoid(h_s . e_{s+1}) - log sigmoid(-h_s . other), section 4.2. Data sets of
        clicks hold no elements that were passed over, so `other` is an element of the batch, all being turned by one
        random distance.
        """
        elements_MD = elements_BSD[valid_BS]
        turn = int(torch.randint(1, max(2, len(elements_MD)), ()))
        others_BSD = torch.zeros_like(elements_BSD)
        others_BSD[valid_BS] = elements_MD.roll(turn, dims=0)
        state_BSD, pair_BS = interests_BSD[:, :-1], valid_BS[:, 1:]
        right_BS = (state_BSD * elements_BSD[:, 1:]).sum(dim=2).float()
        wrong_BS = (state_BSD * others_BSD[:, 1:]).sum(dim=2).float()
        loss_BS = F.softplus(-right_BS) + F.softplus(wrong_BS)
        return (loss_BS * pair_BS).sum() / pair_BS.sum().clamp(min=1)


class AttentionalGRU(nn.Module):
    """GRU whose update gate is multiplied by the attention of the step.

    r = sigmoid(W_r x + U_r h), u = a sigmoid(W_u x + U_u h), n = tanh(W_n x + r (U_n h)), h <- (1 - u) h + u n; every
    matrix with a bias, from h = 0 on.

    Source: Zhou et al. 2019, Deep Interest Evolution Network, section 4.3.

    Args:
        in_dim: width of x.
        dim: D, width of the state.
    """

    def __init__(self, in_dim: int, dim: int) -> None:
        super().__init__()
        self.input, self.state = nn.Linear(in_dim, 3 * dim), nn.Linear(dim, 3 * dim)

    def forward(self, x_BSD: Tensor, attention_BS: Tensor) -> Tensor:
        """[B, S, in_dim] and [B, S] to the last state [B, D]."""
        inputs_SBG = self.input(x_BSD).transpose(0, 1).float()
        attention_SB1 = attention_BS.float().t().unsqueeze(2)
        if torch.compiler.is_compiling():  # traced graphs consist of plain operators
            return _recur(inputs_SBG, attention_SB1, self.state.weight, self.state.bias)[0]
        with torch.autocast(x_BSD.device.type, enabled=False):
            return _Recurrence.apply(inputs_SBG, attention_SB1, self.state.weight, self.state.bias)  # type: ignore[no-any-return]


Steps = list[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]]


def _recur(inputs_SBG: Tensor, attention_SB1: Tensor, weight_GD: Tensor, bias_G: Tensor) -> tuple[Tensor, Steps]:
    """The last state, and of every step what its derivative needs: h, r, u, n and U_n h."""
    h_BD = inputs_SBG.new_zeros(inputs_SBG.shape[1], weight_GD.shape[1])
    steps: Steps = []
    for x_BG, attention_B1 in zip(inputs_SBG.unbind(), attention_SB1.unbind(), strict=True):
        (x_r, x_u, x_n), (h_r, h_u, h_n) = x_BG.chunk(3, dim=1), F.linear(h_BD, weight_GD, bias_G).chunk(3, dim=1)
        r_BD, u_BD = torch.sigmoid(x_r + h_r), torch.sigmoid(x_u + h_u)
        n_BD = torch.tanh(x_n + r_BD * h_n)
        steps.append((h_BD, r_BD, u_BD, n_BD, h_n))
        h_BD = torch.lerp(h_BD, n_BD, attention_B1 * u_BD)
    return h_BD, steps


class _Recurrence(torch.autograd.Function):
    """`_recur` with its gradient, which goes through the steps once, from the last to the first."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, attention: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        last, steps = _recur(inputs, attention, weight, bias)
        ctx.save_for_backward(attention, weight, *(torch.stack(kind) for kind in zip(*steps, strict=True)))
        return last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_h: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # type: ignore[override]
        attention, weight, h, r, u, n, h_n = ctx.saved_tensors
        d_inputs, d_states = h.new_empty(*h.shape[:2], 3 * h.shape[2]), h.new_empty(*h.shape[:2], 3 * h.shape[2])
        d_attention = torch.empty_like(attention)
        slope_n, slope_r, slope_u = 1 - n * n, r * (1 - r), u * (1 - u)
        for s in reversed(range(len(h))):
            d_update = d_h * (n[s] - h[s])
            d_attention[s] = (d_update * u[s]).sum(dim=1, keepdim=True)
            d_n = d_h * (attention[s] * u[s]) * slope_n[s]
            d_r = d_n * h_n[s] * slope_r[s]
            d_u = d_update * attention[s] * slope_u[s]
            torch.cat([d_r, d_u, d_n], dim=1, out=d_inputs[s])
            torch.cat([d_r, d_u, d_n * r[s]], dim=1, out=d_states[s])
            d_h = torch.addmm(d_h * (1 - attention[s] * u[s]), d_states[s], weight)
        rows = d_states.flatten(0, 1)
        return d_inputs, d_attention, rows.t() @ h.flatten(0, 1), rows.sum(dim=0)

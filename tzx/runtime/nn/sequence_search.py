"""A long sequence searched for the elements that concern a query, and attention over those alone.

Legend: B rows, T positions, K positions found, D width of an element, Q width of the query, H heads, E width of a head.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tzx.runtime.errors import ConfigError
from tzx.runtime.nn.jagged import valid_positions
from tzx.runtime.nn.sequence_encoders import attend
from tzx.runtime.protos.sequence_model_pb2 import SIMTower

_NEVER = torch.finfo(torch.float32).min


class SearchedAttention(nn.Module):
    """The `top_k` elements by score, then sum over k of softmax(W_q query . W_k z_k) z_k, head by head.

    Source: Pi et al. 2020, Search-based User Interest Modeling, section 3.3. A subclass scores the elements.

    Args:
        query_dim: Q.
        sequence_dim: D.
        config: K and the heads.
    """

    def __init__(self, query_dim: int, sequence_dim: int, config: SIMTower) -> None:
        super().__init__()
        for field in ("top_k", "num_heads", "head_dim", "search_dim"):
            if getattr(config, field) < 1:
                raise ConfigError(f"{field} is {getattr(config, field)}; allowed: 1 or more")
        self.top_k, self.head_dim = config.top_k, config.head_dim
        self.query = nn.Linear(query_dim, config.num_heads * config.head_dim, bias=False)
        self.key = nn.Linear(sequence_dim, config.num_heads * config.head_dim, bias=False)
        self.out_dim = config.num_heads * sequence_dim

    def scores(self, query_BQ: Tensor, sequence_BTD: Tensor) -> Tensor:
        """How much each element concerns the query, float [B, T]; _NEVER where not at all."""
        raise NotImplementedError

    def forward(self, query_BQ: Tensor, sequence_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """Encode the sequence: [B, H * D], zero for a row in which nothing is found."""
        # Padded, so that there are K positions whatever T is, also in a traced graph.
        traced = torch.compiler.is_compiling()
        count = self.top_k if traced else max(1, min(self.top_k, sequence_BTD.shape[1]))
        sequence_BTD = F.pad(sequence_BTD, (0, 0, 0, count if traced else 1))
        with torch.no_grad():
            positions_T = torch.arange(sequence_BTD.shape[1], device=sequence_BTD.device)
            score_BT = self.scores(query_BQ, sequence_BTD).float()
            score_BT = score_BT.masked_fill(~valid_positions(lengths_B, positions_T), _NEVER)
            best_BK, at_BK = score_BT.topk(count, dim=1)
        found_BKD = sequence_BTD.gather(1, at_BK.unsqueeze(2).expand(-1, -1, sequence_BTD.shape[2]))
        return self._attend(query_BQ, found_BKD, best_BK > _NEVER)

    def _attend(self, query_BQ: Tensor, found_BKD: Tensor, real_BK: Tensor) -> Tensor:
        q_BHE1 = self.query(query_BQ).unflatten(1, (-1, self.head_dim)).unsqueeze(3)
        k_BHKE = self.key(found_BKD).unflatten(2, (-1, self.head_dim)).transpose(1, 2)
        score_BHK = (k_BHKE @ q_BHE1).squeeze(3).float().masked_fill(~real_BK.unsqueeze(1), _NEVER)
        weight_BHK = torch.softmax(score_BHK, dim=2) * real_BK.unsqueeze(1)
        return torch.bmm(weight_BHK.to(found_BKD.dtype), found_BKD).flatten(1)


class SoftSearch(SearchedAttention):
    """Searches by the inner product of W_a query and W_b element.

    Source: Pi et al. 2020, section 3.2, "soft-search". The matrices learn from `pooled`, as choosing has no gradient.
    The paper weighs the elements there by the products as they are. What follows can turn their sign, so that half of
    the trainings end with a search that finds what concerns the query least; softmax leaves no such choice.
    """

    def __init__(self, query_dim: int, sequence_dim: int, config: SIMTower) -> None:
        super().__init__(query_dim, sequence_dim, config)
        self.search_query = nn.Linear(query_dim, config.search_dim, bias=False)
        self.search_key = nn.Linear(sequence_dim, config.search_dim, bias=False)
        self.pooled_dim = query_dim + sequence_dim

    def scores(self, query_BQ: Tensor, sequence_BTD: Tensor) -> Tensor:
        """Inner products [B, T]."""
        return torch.bmm(self.search_key(sequence_BTD), self.search_query(query_BQ).unsqueeze(2)).squeeze(2)

    def pooled(self, query_BQ: Tensor, sequence_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """[query, sum over the whole sequence of softmax(score) times element], [B, Q + D]."""
        positions_T = torch.arange(sequence_BTD.shape[1], device=sequence_BTD.device)
        score_BT = self.scores(query_BQ, sequence_BTD)
        return torch.cat([query_BQ, attend(score_BT, valid_positions(lengths_B, positions_T), sequence_BTD)], dim=1)


class HardSearch(SearchedAttention):
    """Searches for the first elements whose category is the query's.

    Ids are equal where their rows of the embedding table are, so columns of query and element are compared; an element
    or a query without a category, all zero, matches nothing.

    Source: Pi et al. 2020, section 3.2, "hard-search".

    Args:
        query_dim: Q.
        sequence_dim: D.
        config: K and the heads.
        columns: where the category lies in the query, and in an element.
    """

    def __init__(self, query_dim: int, sequence_dim: int, config: SIMTower, columns: tuple[slice, slice]) -> None:
        super().__init__(query_dim, sequence_dim, config)
        self.columns = columns

    def scores(self, query_BQ: Tensor, sequence_BTD: Tensor) -> Tensor:
        """Minus the position where the categories are equal, [B, T]."""
        wanted_B1C, given_BTC = query_BQ[:, None, self.columns[0]], sequence_BTD[:, :, self.columns[1]]
        equal_BT = (wanted_B1C == given_BTC).all(dim=2) & (given_BTC != 0).any(dim=2)
        positions_T = torch.arange(sequence_BTD.shape[1], device=sequence_BTD.device, dtype=torch.float32)
        return torch.where(equal_BT, -positions_T, _NEVER)

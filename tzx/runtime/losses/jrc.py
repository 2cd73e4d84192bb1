"""A loss that ranks the rows of a session and calibrates them at once. Legend: B rows, S sessions."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from tzx.runtime.data.batch import Batch
from tzx.runtime.data.keys import row_keys
from tzx.runtime.errors import ConfigError
from tzx.runtime.losses.losses import SoftmaxCrossEntropy
from tzx.runtime.protos import loss_pb2


class JRCLoss(SoftmaxCrossEntropy):
    """alpha times cross entropy, plus (1 - alpha) times the generative part, over two logits.

    The generative part of a positive row is -log of its share in exp(logit 1) among itself and the negative rows of its
    session in the batch; that of a negative row the same with logit 0 among itself and the positive rows.

    Source: Sheng et al. 2023, Joint Optimization of Ranking and Calibration ..., section 4.
    """

    name = "jrc_loss"

    def __init__(self, config: loss_pb2.JRCLoss) -> None:
        super().__init__(loss_pb2.SoftmaxCrossEntropy(), num_class=2)
        if not 0 <= config.alpha <= 1:
            raise ConfigError(f"loss jrc_loss has alpha {config.alpha:g}; allowed: 0 to 1")
        self.session, self.alpha = config.session_name, config.alpha

    def rows(self, predictions: Mapping[str, Tensor], label_B: Tensor, batch: Batch | None = None) -> Tensor:
        """Both parts; waits for the accelerator, which counts the sessions."""
        if batch is None:
            raise TypeError("jrc_loss needs the batch, for its sessions")
        logits_B2, positive_B = predictions["logits"], label_B > 0.5
        session_B = torch.unique(row_keys(batch, self.session), return_inverse=True)[1]
        of_positive_B = _loss_to_others(logits_B2[:, 1], session_B, ~positive_B)
        of_negative_B = _loss_to_others(logits_B2[:, 0], session_B, positive_B)
        generative_B = torch.where(positive_B, of_positive_B, of_negative_B)
        return self.alpha * super().rows(predictions, label_B) + (1 - self.alpha) * generative_B


def _loss_to_others(score_B: Tensor, session_B: Tensor, other_B: Tensor) -> Tensor:
    """-log(exp(s) / (exp(s) + sum of exp(s') over the others of the session)), in time linear in B.

    Args:
        score_B: float [B].
        session_B: int64 [B], numbers below B.
        other_B: bool [B], the rows s' may come from; the result is meant for the remaining rows.
    """
    masked_B = torch.where(other_B, score_B, -torch.inf)
    peak_S = torch.full_like(score_B, -torch.inf).scatter_reduce(0, session_B, masked_B.detach(), "amax")
    peak_S = torch.where(peak_S.isinf(), 0.0, peak_S)
    sum_S = torch.zeros_like(score_B).index_add(0, session_B, torch.exp(masked_B - peak_S[session_B]))
    log_sum_S = peak_S + torch.log(sum_S.clamp(min=torch.finfo(sum_S.dtype).tiny))  # without others: masked below
    return torch.where((sum_S > 0)[session_B], F.softplus(log_sum_S[session_B] - score_B), 0.0)

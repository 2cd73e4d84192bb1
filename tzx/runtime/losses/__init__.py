"""Losses of a task: what they predict from logits and what each row costs."""

from tzx.runtime.losses.factory import loss_name, make_loss
from tzx.runtime.losses.losses import L2Loss, Loss, check_labels
from tzx.runtime.losses.weights import RowWeights, weighted_mean

__all__ = ["L2Loss", "Loss", "RowWeights", "check_labels", "loss_name", "make_loss", "weighted_mean"]

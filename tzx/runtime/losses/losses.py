"""Losses, each as two formulas: predictions from logits, and a cost per row.

Reduction over rows is left to `weights.py`, because weights differ between single-task and multi-task models.
Legend: B rows, C classes.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from tzx.runtime.data.batch import Batch
from tzx.runtime.errors import DataError
from tzx.runtime.protos import loss_pb2


class Loss(ABC):
    """One loss of a task. `name` is the field name in LossConfig and the key it is reported under."""

    name: str
    outputs: tuple[str, ...]

    @abstractmethod
    def predictions(self, logits_BC: Tensor) -> dict[str, Tensor]:
        """What the model predicts when trained with this loss; keys without task suffix.

        Args:
            logits_BC: float [B, C], the output of the task's last layer.
        """

    @abstractmethod
    def rows(self, predictions: Mapping[str, Tensor], label_B: Tensor, batch: Batch | None = None) -> Tensor:
        """Cost of each row, float [B].

        Args:
            predictions: what `predictions` returned.
            label_B: int64 or float32 [B].
            batch: where the rows come from, for losses that compare rows of a session.
        """

    @abstractmethod
    def label_bounds(self) -> tuple[float, float] | None:
        """Smallest and largest label that makes sense, None for any number."""


class _Sigmoid(Loss):
    outputs = ("logits", "probs")

    def predictions(self, logits_BC: Tensor) -> dict[str, Tensor]:
        """`logits` and `probs`, both [B]."""
        logits_B = logits_BC.squeeze(1)
        return {"logits": logits_B, "probs": torch.sigmoid(logits_B)}

    def label_bounds(self) -> tuple[float, float] | None:
        """A label is a probability."""
        return 0.0, 1.0


class BinaryCrossEntropy(_Sigmoid):
    """Cross entropy of a sigmoid; with smoothing s the target is y(1-s) + s/2."""

    name = "binary_cross_entropy"

    def __init__(self, config: loss_pb2.BinaryCrossEntropy) -> None:
        self.smoothing = config.label_smoothing

    def rows(self, predictions: Mapping[str, Tensor], label_B: Tensor, batch: Batch | None = None) -> Tensor:
        """-y log p - (1-y) log(1-p)."""
        logits_B = predictions["logits"]
        target_B = label_B.to(logits_B.dtype)
        if self.smoothing:
            target_B = target_B * (1 - self.smoothing) + 0.5 * self.smoothing
        return F.binary_cross_entropy_with_logits(logits_B, target_B, reduction="none")


class BinaryFocalLoss(_Sigmoid):
    """Cross entropy weighted by how wrong the row still is (Lin et al. 2017, "Focal Loss", section 3.2).

    The weight is alpha y (1-p)^gamma + (1-alpha)(1-y) p^gamma and carries no gradient.
    """

    name = "binary_focal_loss"

    def __init__(self, config: loss_pb2.BinaryFocalLoss) -> None:
        self.gamma, self.alpha = config.gamma, config.alpha

    def rows(self, predictions: Mapping[str, Tensor], label_B: Tensor, batch: Batch | None = None) -> Tensor:
        """Focal weight times cross entropy."""
        logits_B = predictions["logits"]
        target_B = label_B.to(logits_B.dtype)
        p_B = predictions["probs"].detach()
        focus_B = self.alpha * target_B * (1 - p_B) ** self.gamma
        focus_B = focus_B + (1 - self.alpha) * (1 - target_B) * p_B**self.gamma
        return focus_B * F.binary_cross_entropy_with_logits(logits_B, target_B, reduction="none")


class SoftmaxCrossEntropy(Loss):
    """Cross entropy of a softmax over C classes; smoothing s spreads s evenly over all classes."""

    name = "softmax_cross_entropy"

    def __init__(self, config: loss_pb2.SoftmaxCrossEntropy, num_class: int) -> None:
        self.smoothing, self.num_class = config.label_smoothing, num_class
        self.outputs = ("logits", "probs", "probs1") if num_class == 2 else ("logits", "probs")

    def predictions(self, logits_BC: Tensor) -> dict[str, Tensor]:
        """`logits` and `probs` [B, C]; with two classes also `probs1` [B], the second one's."""
        probs_BC = torch.softmax(logits_BC, dim=1)
        found = {"logits": logits_BC, "probs": probs_BC}
        return found | {"probs1": probs_BC[:, 1]} if self.num_class == 2 else found

    def rows(self, predictions: Mapping[str, Tensor], label_B: Tensor, batch: Batch | None = None) -> Tensor:
        """-log softmax(logits)[label]."""
        logits_BC = predictions["logits"]
        return F.cross_entropy(logits_BC, label_B.long(), reduction="none", label_smoothing=self.smoothing)

    def label_bounds(self) -> tuple[float, float] | None:
        """A label is a class."""
        return 0.0, float(self.num_class - 1)


class L2Loss(Loss):
    """Squared error of the raw output."""

    name = "l2_loss"
    outputs = ("y",)

    def predictions(self, logits_BC: Tensor) -> dict[str, Tensor]:
        """`y` [B]."""
        return {"y": logits_BC.squeeze(1)}

    def rows(self, predictions: Mapping[str, Tensor], label_B: Tensor, batch: Batch | None = None) -> Tensor:
        """(y - label)^2."""
        y_B = predictions["y"]
        return F.mse_loss(y_B, label_B.to(y_B.dtype), reduction="none")

    def label_bounds(self) -> tuple[float, float] | None:
        """Any number."""
        return None


def check_labels(loss: Loss, label_B: Tensor, column: str) -> None:
    """Raise DataError when a label is outside what the loss can use; reads the labels, so not for every GPU batch.

    Args:
        loss: the loss that will see the labels.
        label_B: int64 or float32 [B].
        column: label column, named in the message.
    """
    bounds = loss.label_bounds()
    if bounds is None or label_B.numel() == 0:
        return
    low, high = (float(v) for v in torch.aminmax(label_B))
    if low < bounds[0] or high > bounds[1]:
        bad = low if low < bounds[0] else high
        raise DataError(
            f"label column {column!r} holds {bad:g}, but {loss.name} takes labels from {bounds[0]:g} to {bounds[1]:g}"
        )

"""MaskNet: layers multiplied by masks that the whole instance makes. Legend: B rows, C classes."""

from torch import Tensor, nn

from tzx.runtime.models.base import GroupTypes, RankModel
from tzx.runtime.nn.masknet import MaskNetBlocks


class MaskNet(RankModel):
    """Wang et al. 2021, "MaskNet: Introducing Feature-Wise Multiplication to CTR Ranking Models ...", section 3.

    Mask blocks in parallel or in series, the top MLP, then a linear layer without bias.
    """

    def group_types(self) -> GroupTypes:
        """The first group."""
        return self.first_group()

    def build(self) -> None:
        """Mask blocks and output layer."""
        (self.group,) = self.group_types()
        self.mask_net = MaskNetBlocks(self.embedding_groups.total_dim(self.group), self.own.mask_net_module)
        self.output = nn.Linear(self.mask_net.out_dim, self.num_class, bias=False)

    def logits(self, groups: dict[str, Tensor]) -> Tensor:
        """Logits [B, C]."""
        return self.output(self.mask_net(groups[self.group]))

"""Variational dropout on the feature groups of a model, by which the features that matter can be told."""

from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from tzx.runtime.embedding.groups import EmbeddingGroups
from tzx.runtime.nn.variational_dropout import VariationalDropout
from tzx.runtime.protos.model_pb2 import DEEP, WIDE, FeatureGroupConfig
from tzx.runtime.protos.module_pb2 import VariationalDropout as Config


class FeatureDropout(nn.Module):
    """One VariationalDropout for every DEEP and WIDE group of two features or more; encoded sequences count.

    Args:
        config: what model_config.variational_dropout holds.
        groups: the groups that the model reads.
        embedding_groups: knows their widths.
    """

    def __init__(self, config: Config, groups: Iterable[FeatureGroupConfig], embedding_groups: EmbeddingGroups) -> None:
        super().__init__()
        self.groups = nn.ModuleDict()
        for group in groups:
            if group.group_type in (DEEP, WIDE):
                dims = embedding_groups.feature_dims(group.group_name)
                if len(dims) > 1:
                    # A bare name such as "type" would hide a method of the container.
                    self.groups[f"{group.group_name}_group"] = VariationalDropout(dims, config)

    def forward(self, groups: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The groups' tensors with features dropped, or scaled outside training."""
        dropped = {name: dropout(groups[name]) for name, dropout in self._items()}
        return {**groups, **dropped}

    def losses(self, rows: int) -> dict[str, Tensor]:
        """Penalties by loss name.

        Args:
            rows: of the batch.
        """
        return {f"{name}_feature_p_loss": dropout.penalty(rows) for name, dropout in self._items()}

    @property
    def loss_names(self) -> list[str]:
        """Names of the penalties."""
        return [f"{name}_feature_p_loss" for name, _ in self._items()]

    def rates(self) -> dict[str, dict[str, float]]:
        """Learned dropout rate of every feature by group."""
        return {name: dropout.rates() for name, dropout in self._items()}

    def _items(self) -> list[tuple[str, VariationalDropout]]:
        return [(key.removesuffix("_group"), made) for key, made in self.groups.items()]  # type: ignore[misc]

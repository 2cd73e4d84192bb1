"""WuKong: stacked layers of factorization machines. Legend: B rows, C classes, F vectors, D width of each of them."""

from torch import Tensor, nn

from tzx.runtime.errors import ConfigError
from tzx.runtime.models.rank.vectors import VectorModel
from tzx.runtime.nn.mlp import MLP
from tzx.runtime.nn.wukong import WuKongLayer


class WuKong(VectorModel):
    """Zhang et al. 2024, "Wukong: Towards a Scaling Law for Large-Scale Recommendation", section 3.

    The vectors of a row, the dense one first, go through layers that interact and combine them; all vectors of the last
    layer go through the final MLP and a linear layer.
    """

    def build(self) -> None:
        """Dense MLP, layers and final MLP."""
        super().build()
        if not self.own.wukong_layers:
            raise ConfigError("wukong_layers is empty; add at least one")
        self.layers, vectors = nn.ModuleList(), self.num_vectors
        for i, config in enumerate(self.own.wukong_layers):
            try:
                layer = WuKongLayer(vectors, self.dim, config)
            except ConfigError as error:
                raise ConfigError(f"wukong_layers[{i}]: {error}") from None
            self.layers.append(layer)
            vectors = layer.out_features
        self.final = MLP(vectors * self.dim, self.own.final)
        self.output = nn.Linear(self.final.out_dim, self.num_class)

    def logits(self, groups: dict[str, Tensor]) -> Tensor:
        """Logits [B, C]."""
        x_BFD = self.vectors(groups)
        for layer in self.layers:
            x_BFD = layer(x_BFD)
        return self.output(self.final(x_BFD.flatten(1)))

"""AutoInt: features that attend to each other, layer by layer. Legend: B rows, C classes, F vectors, D width."""

from torch import Tensor, nn

from tzx.runtime.errors import ConfigError
from tzx.runtime.models.rank.vectors import VectorModel
from tzx.runtime.nn.field_attention import FieldAttention
from tzx.runtime.nn.mlp import MLP


class AutoInt(VectorModel):
    """Song et al. 2019, "AutoInt: Automatic Feature Interaction Learning via Self-Attentive ...", section 4.

    The vectors of a row, the dense one first, go through layers of multi-head attention over each other; linear(all
    vectors of the last layer). With `deep`, linear(MLP(all vectors)) is added: AutoInt+ of section 5.5.
    """

    def build(self) -> None:
        """Dense MLP, attention layers, and the network beside them."""
        super().build()
        for field in ("num_layers", "num_heads", "head_dim"):
            if getattr(self.own, field) < 1:
                raise ConfigError(f"{field} is {getattr(self.own, field)}; allowed: 1 or more")
        self.layers, width = nn.ModuleList(), self.dim
        for _ in range(self.own.num_layers):
            layer = FieldAttention(width, self.own.num_heads, self.own.head_dim)
            self.layers.append(layer)
            width = layer.out_dim
        self.output = nn.Linear(self.num_vectors * width, self.num_class)
        self.deep = MLP(self.num_vectors * self.dim, self.own.deep) if self.own.HasField("deep") else None
        self.deep_output = nn.Linear(self.deep.out_dim, self.num_class) if self.deep else None

    def logits(self, groups: dict[str, Tensor]) -> Tensor:
        """Logits [B, C]."""
        first_BFD = x = self.vectors(groups)
        for layer in self.layers:
            x = layer(x)
        logits_BC = self.output(x.flatten(1))
        if self.deep is None or self.deep_output is None:
            return logits_BC
        return logits_BC + self.deep_output(self.deep(first_BFD.flatten(1)))

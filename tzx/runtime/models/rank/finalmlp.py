"""FinalMLP: two networks that see different parts of the features, and their products. Legend: B rows, C classes."""

from torch import Tensor

from tzx.runtime.models.base import GroupTypes, RankModel
from tzx.runtime.nn.mlp import MLP
from tzx.runtime.nn.two_streams import BilinearFusion, FeatureGate
from tzx.runtime.protos.interaction_model_pb2 import FinalMLPStream
from tzx.runtime.protos.model_pb2 import DEEP


class FinalMLP(RankModel):
    """Mao et al. 2023, "FinalMLP: An Enhanced Two-Stream MLP Model for CTR Prediction", "Our Model".

    o_s = MLP_s(e * 2 sigmoid(linear(MLP(context_s)))) for both streams s, e being the first group and the context a
    group or a learned vector; without `gate_mlp` o_s = MLP_s(e). Logits = b + w_1 . o_1 + w_2 . o_2 + the sum over
    heads of o_1 W o_2.
    """

    def group_types(self) -> GroupTypes:
        """The first group, and what the gates look at."""
        inputs = (stream.gate_input for stream in (self.own.first, self.own.second))
        return {**self.first_group(), **{name: (DEEP,) for name in inputs if name}}

    def build(self) -> None:
        """Gates, streams and their fusion."""
        (self.group, *_) = self.group_types()
        self.contexts = (self.own.first.gate_input, self.own.second.gate_input)
        width = self.embedding_groups.total_dim(self.group)
        self.first_gate, self.second_gate = self._make_gate(self.own.first), self._make_gate(self.own.second)
        self.first_mlp, self.second_mlp = MLP(width, self.own.first.mlp), MLP(width, self.own.second.mlp)
        self.fusion = BilinearFusion(
            (self.first_mlp.out_dim, self.second_mlp.out_dim), self.own.num_heads, self.num_class
        )

    def _make_gate(self, stream: FinalMLPStream) -> FeatureGate | None:
        if not stream.HasField("gate_mlp"):
            return None
        context = self.embedding_groups.total_dim(stream.gate_input) if stream.gate_input else None
        return FeatureGate(self.embedding_groups.total_dim(self.group), context, stream.gate_mlp)

    def logits(self, groups: dict[str, Tensor]) -> Tensor:
        """Logits [B, C]."""
        x_BD = groups[self.group]
        seen = [
            x_BD if gate is None else gate(x_BD, groups.get(context))
            for gate, context in zip((self.first_gate, self.second_gate), self.contexts, strict=True)
        ]
        return self.fusion(self.first_mlp(seen[0]), self.second_mlp(seen[1]))

"""Every model there is: where its class lies, which feature groups it reads, who described it, its smallest config.

The registry of classes, the checks of configs, `tzx.apps.models` and the table in docs/models.md all read this list.
"""

from dataclasses import dataclass
from functools import cached_property

from google.protobuf.descriptor import FieldDescriptor

from tzx.runtime.protos.model_pb2 import ModelConfig


@dataclass(frozen=True)
class Group:
    """A feature group that a model reads; without a name it is the first one, whatever its name.

    `shown` puts an optional group into the smallest config.
    """

    name: str
    type: str = "DEEP"
    optional: bool = False
    shown: bool = False

    @property
    def text(self) -> str:
        """The group in words."""
        name = f"`{self.name}`" if self.name else "the first group"
        return f"{'optional ' if self.optional else ''}{name} ({self.type})"


@dataclass(frozen=True)
class ModelFacts:
    """One model.

    Args:
        name: message type, which is also the name of the class.
        module: where the class lies, below tzx.runtime.models.
        paper: author, year and section.
        body: the smallest content of the model's message that makes sense; tasks are added to it.
        groups: what the model reads; in models whose fields name groups, those that `body` names.
        rule: says in words which groups the model reads, where `groups` does not say it all.
        relation: what the second task tower of the smallest config says about the first.
    """

    name: str
    module: str
    paper: str
    body: str
    groups: tuple[Group, ...] = (Group(""),)
    rule: str = ""
    relation: str = ""

    @cached_property
    def field(self) -> FieldDescriptor:
        """Member of model_config."""
        fields = ModelConfig.DESCRIPTOR.oneofs_by_name["model"].fields
        return next(f for f in fields if f.message_type.name == self.name)

    @property
    def group_text(self) -> str:
        """The groups in words."""
        return self.rule or ", ".join(group.text for group in self.groups)

    @property
    def is_multi_task(self) -> bool:
        """Whether the model has a tower for each of several labels."""
        return self.module.startswith("multitask.")

    @property
    def required(self) -> dict[str, str]:
        """Types of the groups that must be there under their names."""
        return {} if self.rule else {g.name: g.type for g in self.groups if g.name and not g.optional}


_WIDE_AND_DEEP = (Group("wide", "WIDE"), Group("deep"))
_VECTORS = (Group("sparse"), Group("dense", optional=True, shown=True))
_VECTORS_RULE = "one DEEP group, or `sparse` (DEEP) and optionally `dense` (DEEP)"
_RANK = (
    ModelFacts(
        "DeepFM",
        "rank.deepfm",
        "Guo et al. 2017, section 2.1",
        "deep { hidden_units: [64, 32] }",
        (*_WIDE_AND_DEEP, Group("fm", optional=True)),
    ),
    ModelFacts(
        "WideAndDeep",
        "rank.wide_and_deep",
        "Cheng et al. 2016, section 3",
        "deep { hidden_units: [64, 32] }",
        _WIDE_AND_DEEP,
    ),
    ModelFacts(
        "MultiTower",
        "rank.multi_tower",
        "late fusion, Huang et al. 2013",
        """towers { input: "user" mlp { hidden_units: [64, 32] } }
towers { input: "item" mlp { hidden_units: [64, 32] } }
final { hidden_units: [64] }""",
        (Group("user"), Group("item")),
        "any (DEEP or WIDE), one for each tower",
    ),
    ModelFacts(
        "MultiTowerDIN",
        "rank.multi_tower_din",
        "Zhou et al. 2018, section 4.3",
        """towers { input: "user" mlp { hidden_units: [64, 32] } }
din_towers { input: "history" attn_mlp { hidden_units: [32, 16] } }
final { hidden_units: [64] }""",
        (Group("user"), Group("history", "SEQUENCE")),
        "any, one for each tower; those of DIN towers SEQUENCE",
    ),
    ModelFacts(
        "BST",
        "rank.bst",
        "Chen et al. 2019, section 2",
        """towers { input: "user" mlp { hidden_units: [64, 32] } }
bst_towers { input: "history" max_seq_length: 20 }
final { hidden_units: [64] }""",
        (Group("user"), Group("history", "SEQUENCE")),
        "any, one for each tower; those of BST towers SEQUENCE",
    ),
    ModelFacts(
        "DIEN",
        "rank.dien",
        "Zhou et al. 2019, section 4",
        """towers { input: "user" mlp { hidden_units: [64, 32] } }
dien_towers { input: "history" max_seq_length: 20 }
final { hidden_units: [64] }""",
        (Group("user"), Group("history", "SEQUENCE")),
        "any, one for each tower; those of DIEN towers SEQUENCE",
    ),
    ModelFacts(
        "SIM",
        "rank.sim",
        "Pi et al. 2020, section 3",
        """towers { input: "user" mlp { hidden_units: [64, 32] } }
sim_towers { input: "history" top_k: 20 }
final { hidden_units: [64] }""",
        (Group("user"), Group("history", "SEQUENCE")),
        "any, one for each tower; those of SIM towers SEQUENCE",
    ),
    ModelFacts(
        "DLRM",
        "rank.dlrm",
        "Naumov et al. 2019, section 2",
        "dense_mlp { hidden_units: [32, 16] }\nfinal { hidden_units: [64, 32] }",
        _VECTORS,
        _VECTORS_RULE,
    ),
    ModelFacts(
        "DCNV1",
        "rank.dcn_v1",
        "Wang et al. 2017, sections 2.2 to 2.4",
        "cross { cross_num: 3 }\ndeep { hidden_units: [64, 32] }\nfinal { hidden_units: [64] }",
    ),
    ModelFacts(
        "DCNV2",
        "rank.dcn_v2",
        "Wang et al. 2021, sections 3.1 to 3.3",
        "cross { cross_num: 3 low_rank: 32 }\ndeep { hidden_units: [64, 32] }\nfinal { hidden_units: [64] }",
    ),
    ModelFacts(
        "xDeepFM",
        "rank.xdeepfm",
        "Lian et al. 2018, sections 3.1, 3.2",
        "cin { cin_layer_size: [32, 32] }\ndeep { hidden_units: [64, 32] }\nfinal { hidden_units: [64] }",
        _WIDE_AND_DEEP,
    ),
    ModelFacts(
        "MaskNet",
        "rank.mask_net",
        "Wang et al. 2021, section 3",
        """mask_net_module {
  n_mask_blocks: 3
  mask_block { hidden_dim: 64 }
  top_mlp { hidden_units: [64, 32] }
}""",
    ),
    ModelFacts(
        "WuKong",
        "rank.wukong",
        "Zhang et al. 2024, section 3",
        """dense_mlp { hidden_units: [32, 16] }
wukong_layers {
  lcb_feature_num: 8
  fmb_feature_num: 8
  feature_num_mlp { hidden_units: [64] }
}
final { hidden_units: [64, 32] }""",
        _VECTORS,
        _VECTORS_RULE,
    ),
    ModelFacts(
        "RocketLaunching",
        "rank.rocket_launching",
        "Zhou et al. 2018, section 3",
        """share_mlp { hidden_units: [64] }
light_mlp { hidden_units: [32] }
booster_mlp { hidden_units: [128, 64, 32] }""",
    ),
    ModelFacts(
        "AutoInt",
        "rank.autoint",
        "Song et al. 2019, section 4",
        "dense_mlp { hidden_units: [32, 16] }\nnum_layers: 2",
        _VECTORS,
        _VECTORS_RULE,
    ),
    ModelFacts(
        "FinalMLP",
        "rank.finalmlp",
        "Mao et al. 2023, Our Model",
        """first { mlp { hidden_units: [64, 32] } gate_mlp { hidden_units: [32] } gate_input: "user" }
second { mlp { hidden_units: [64, 32] } gate_mlp { hidden_units: [32] } gate_input: "item" }""",
        (Group(""), Group("user"), Group("item")),
        "the first group (DEEP), and those that `gate_input` names (DEEP)",
    ),
    ModelFacts(
        "FiBiNET",
        "rank.fibinet",
        "Huang et al. 2019, section 3",
        "dense_mlp { hidden_units: [32, 16] }\ndeep { hidden_units: [64, 32] }",
        (*_VECTORS, Group("wide", "WIDE", optional=True)),
        f"{_VECTORS_RULE}; optionally `wide` (WIDE)",
    ),
    ModelFacts(
        "GDCN",
        "rank.gdcn",
        "Wang et al. 2023, section 3",
        "cross { cross_num: 3 }\ndeep { hidden_units: [64, 32] }",
    ),
)
_MULTI_TASK = (
    ModelFacts("SimpleMultiTask", "multitask.simple_multi_task", "Caruana 1997, section 2", ""),
    ModelFacts(
        "MMoE",
        "multitask.mmoe",
        "Ma et al. 2018, section 4.2",
        "expert_mlp { hidden_units: [64, 32] }\nnum_expert: 4",
    ),
    ModelFacts(
        "PLE",
        "multitask.ple",
        "Tang et al. 2020, section 4",
        """extraction_networks {
  network_name: "only"
  expert_num_per_task: 2
  share_num: 2
  task_expert_net { hidden_units: [64, 32] }
  share_expert_net { hidden_units: [64, 32] }
}""",
    ),
    ModelFacts(
        "DBMTL",
        "multitask.dbmtl",
        "Wang et al. 2019, section 3",
        "bottom_mlp { hidden_units: [64] }",
        relation='relation_tower_names: "ctr"\nrelation_mlp { hidden_units: [32] }',
    ),
    ModelFacts(
        "DC2VR",
        "multitask.dc2vr",
        "interventions of Wu et al. 2024, section 3",
        "bottom_mlp { hidden_units: [64] }",
        relation='intervention_tower_names: "ctr"\nlow_rank_dim: 8',
    ),
    ModelFacts(
        "PEPNet",
        "multitask.pepnet",
        "Chang et al. 2023, section 3",
        "ppnet_hidden_units: [64, 32]",
        (Group("all"), Group("domain", optional=True), Group("uia", optional=True, shown=True)),
    ),
    ModelFacts("STEM", "multitask.stem", "Su et al. 2024, STEM-Net", "expert_mlp { hidden_units: [64, 32] }"),
)
CATALOG: dict[str, ModelFacts] = {facts.name: facts for facts in (*_RANK, *_MULTI_TASK)}

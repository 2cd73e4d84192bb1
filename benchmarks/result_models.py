"""What docs/results.md compares: each ranking model as a config and, where FuxiCTR has its layers, the same there.

Everything but `model_config` (features, embedding widths, optimizers, learning rates, batch size, epochs) is that of
the example config named by `base`, for every model and for FuxiCTR as well. A new model joins by one entry here and,
where there is one, by its twin of the same name in fuxictr_peer.py.
"""

from dataclasses import dataclass

DEEP = "deep { hidden_units: [256, 128] }"
FINAL = "final { hidden_units: [64] }"
LINEAR = "final {}"
RANDOM = '"user_id", "gender", "age", "occupation", "item_id", "genres", "year"'
TIME = '"gender", "age", "occupation", "item_id", "genres", "year"'


@dataclass(frozen=True)
class Entry:
    """One model of the table: the member of model_config that is set, the groups it reads, the start of embeddings."""

    model: str
    groups: tuple[str, ...] = ("deep",)
    base: str = "deepfm_movielens"
    init_std: float = 1e-4

    @property
    def split(self) -> str:
        """The split of MovieLens-100K the base config trains on."""
        return "time" if self.base == "din_movielens" else "random"

    def model_config(self) -> str:
        """model_config in text format."""
        groups = "\n".join(_GROUPS[name].format(RANDOM if self.split == "random" else TIME) for name in self.groups)
        return f"{groups}\n{self.model}\nlosses {{ binary_cross_entropy {{}} }}\nmetrics {{ auc {{}} }}"


_GROUPS = {
    "wide": 'feature_groups {{ group_name: "wide" feature_names: [{}] group_type: WIDE }}',
    "deep": 'feature_groups {{ group_name: "deep" feature_names: [{}] group_type: DEEP }}',
    "sparse": 'feature_groups {{ group_name: "sparse" feature_names: [{}] group_type: DEEP }}',
    "history": (
        'feature_groups {{ group_name: "history" group_type: SEQUENCE '
        'feature_names: ["item_id", "genres", "hist__item_id", "hist__genres", "hist__rating"] }}'
    ),
}
_MASK_NET = "n_mask_blocks: 3 mask_block { hidden_dim: 128 reduction_ratio: 2 } top_mlp { hidden_units: [256, 128] }"
_STREAM = "mlp { hidden_units: [256, 128] }"
# As many vectors as there are features, so that a layer adds to them as they are, as in FuxiCTR. The norm of a layer
# would blow up vectors that start as small as those of the other models.
_WUKONG = (
    "wukong_layers { lcb_feature_num: 3 fmb_feature_num: 4 compressed_feature_num: 4 "
    "feature_num_mlp { hidden_units: [64] } }"
)


def _of_history(model: str, tower: str) -> Entry:
    """A model that encodes the history in a tower, beside the other features."""
    text = f'{model} {{ towers {{ input: "deep" }} final {{ hidden_units: [256, 128] }} {tower} }}'
    return Entry(text, ("deep", "history"), "din_movielens")


ENTRIES: dict[str, Entry] = {
    "DeepFM": Entry(f"deepfm {{ {DEEP} wide_embedding_dim: 1 }}", ("wide", "deep")),
    "WideAndDeep": Entry(f"wide_and_deep {{ {DEEP} wide_embedding_dim: 1 }}", ("wide", "deep")),
    "MultiTower": Entry('multi_tower { towers { input: "deep" } final { hidden_units: [256, 128] } }'),
    "DLRM": Entry("dlrm { final { hidden_units: [256, 128] } }", ("sparse",)),
    "DCNV1": Entry(f"dcn_v1 {{ cross {{ cross_num: 3 }} {DEEP} {LINEAR} }}"),
    "DCNV2": Entry(f"dcn_v2 {{ cross {{ cross_num: 3 low_rank: 0 }} {DEEP} {LINEAR} }}"),
    "xDeepFM": Entry(
        f"xdeepfm {{ cin {{ cin_layer_size: [32, 32] }} {DEEP} {FINAL} wide_embedding_dim: 4 }}", ("wide", "deep")
    ),
    "MaskNet": Entry(f"mask_net {{ mask_net_module {{ {_MASK_NET} }} }}"),
    "WuKong": Entry(
        f"wukong {{ {_WUKONG} {_WUKONG} final {{ hidden_units: [256, 128] }} }}", ("sparse",), init_std=0.01
    ),
    "RocketLaunching": Entry(
        "rocket_launching { share_mlp { hidden_units: [256] } light_mlp { hidden_units: [128] } "
        "booster_mlp { hidden_units: [256, 128] } }"
    ),
    "AutoInt": Entry("autoint { num_layers: 3 }", ("sparse",)),
    "FinalMLP": Entry(f"finalmlp {{ first {{ {_STREAM} }} second {{ {_STREAM} }} }}"),
    "FiBiNET": Entry(f"fibinet {{ {DEEP} }}", ("wide", "sparse")),
    "GDCN": Entry(f"gdcn {{ cross {{ cross_num: 3 }} {DEEP} }}"),
    "MultiTowerDIN": _of_history(
        'multi_tower_din', 'din_towers { input: "history" attn_mlp { hidden_units: [32, 16] } }'
    ),
    "BST": _of_history('bst', 'bst_towers { input: "history" hidden_dim: 32 }'),
    # FuxiCTR's has no auxiliary loss.
    "DIEN": _of_history('dien', 'dien_towers { input: "history" max_seq_length: 20 auxiliary_weight: 0 }'),
    "SIM": _of_history('sim', 'sim_towers { input: "history" top_k: 10 }'),
}  # fmt: skip

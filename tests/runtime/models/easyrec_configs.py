"""Configs as TorchEasyRec's users have them, one for every model that both have, on finished rows in the Taobao layout.

They hold no field of our own and are run without changes. Rank models say `fg_encoded: true`, as older configs do;
models of several tasks say `fg_mode: FG_NONE`.
"""

import numpy as np
import pyarrow as pa

ROWS = 192

_HEAD = """
train_input_path: "{root}/train/*.parquet"
eval_input_path: "{root}/test/*.parquet"
model_dir: "{root}/model"
train_config {{
    sparse_optimizer {{
        adagrad_optimizer {{
            lr: 0.001
        }}
        constant_learning_rate {{
        }}
    }}
    dense_optimizer {{
        adam_optimizer {{
            lr: 0.001
        }}
        constant_learning_rate {{
        }}
    }}
    num_epochs: 1
}}
eval_config {{
}}
data_config {{
    batch_size: 64
    dataset_type: ParquetDataset
    {fg}
    {labels}
    num_workers: 1
}}
"""
_FEATURES = """
feature_configs {
    id_feature {
        feature_name: "user_id"
        expression: "user:user_id"
        num_buckets: 400
        embedding_dim: 16
    }
}
feature_configs {
    id_feature {
        feature_name: "age_level"
        expression: "user:age_level"
        vocab_list: ["1", "2", "3"]
        embedding_dim: 16
    }
}
feature_configs {
    id_feature {
        feature_name: "tag_brand_list"
        expression: "user:tag_brand_list"
        separator: "|"
        hash_bucket_size: 100
        embedding_dim: 16
        pooling: "mean"
    }
}
feature_configs {
    id_feature {
        feature_name: "adgroup_id"
        expression: "item:adgroup_id"
        hash_bucket_size: 500
        embedding_dim: 16
        embedding_name: "adgroup_id_emb"
    }
}
feature_configs {
    id_feature {
        feature_name: "cate_id"
        expression: "item:cate_id"
        num_buckets: 60
        embedding_dim: 16
        embedding_name: "cate_id_emb"
    }
}
feature_configs {
    raw_feature {
        feature_name: "price"
        expression: "item:price"
        boundaries: [1.1, 2.2, 3.6, 5.2]
        embedding_dim: 16
    }
}
feature_configs {
    raw_feature {
        feature_name: "rates"
        expression: "item:rates"
        value_dim: 2
        fg_encoded_default_value: "0\\0030"
    }
}
feature_configs {
    combo_feature {
        feature_name: "age_cate"
        expression: ["user:age_level", "item:cate_id"]
        hash_bucket_size: 100
        embedding_dim: 16
    }
}
feature_configs {
    lookup_feature {
        feature_name: "cate_clicks"
        map: "user:cate_clicks"
        key: "item:cate_id"
        boundaries: [0, 1, 2]
        embedding_dim: 16
    }
}
feature_configs {
    sequence_feature {
        sequence_name: "click_50_seq"
        sequence_length: 50
        sequence_delim: ";"
        features {
            id_feature {
                feature_name: "adgroup_id"
                expression: "item:adgroup_id"
                hash_bucket_size: 500
                embedding_dim: 16
                embedding_name: "adgroup_id_emb"
            }
        }
        features {
            id_feature {
                feature_name: "cate_id"
                expression: "item:cate_id"
                num_buckets: 60
                embedding_dim: 16
                embedding_name: "cate_id_emb"
            }
        }
    }
}
"""
_USER = ("user_id", "age_level", "tag_brand_list")
_ITEM = ("adgroup_id", "cate_id", "price", "age_cate", "cate_clicks")
_CLICKS = ("adgroup_id", "cate_id", "click_50_seq__adgroup_id", "click_50_seq__cate_id")


def _group(name: str, features: tuple[str, ...], kind: str = "DEEP", more: str = "") -> str:
    names = "".join(f'\n        feature_names: "{feature}"' for feature in features)
    return f'    feature_groups {{\n        group_name: "{name}"{names}\n        group_type: {kind}{more}\n    }}\n'


_ENCODED = """
        sequence_groups {
            group_name: "click"
            feature_names: "adgroup_id"
            feature_names: "click_50_seq__adgroup_id"
        }
        sequence_encoders {
            din_encoder { input: "click" attn_mlp { hidden_units: [8] } }
        }"""
_WIDE, _DEEP = _group("wide", _USER + _ITEM, "WIDE"), _group("deep", _USER + _ITEM)
_MIXED = _group("all", (*_USER, *_ITEM, "rates"), more=_ENCODED)
_SPARSE = _group("sparse", _USER + _ITEM) + _group("dense", ("rates",))
_SIDES = _group("user", _USER) + _group("item", (*_ITEM, "rates"))
_ONE = """    metrics { auc {} }
    metrics { grouped_auc { grouping_key: "user_id" } }
    losses { binary_cross_entropy {} }
"""
_TOWERS = """
        towers { input: "user" mlp { hidden_units: [16, 8] } }
        towers { input: "item" mlp { hidden_units: [16, 8] use_bn: true } }
        final { hidden_units: [16, 8] }"""
# What each model says, with its feature groups.
RANK = {
    "wide_and_deep": (_WIDE + _DEEP, "deep { hidden_units: [16, 8] } final { hidden_units: [8] }"),
    "deepfm": (
        _WIDE + _group("fm", _USER) + _group("deep", (*_USER, *_ITEM, "rates")),
        "deep { hidden_units: [16, 8] } final { hidden_units: [8] } wide_embedding_dim: 4",
    ),
    "multi_tower": (_SIDES, _TOWERS),
    "multi_tower_din": (
        _SIDES + _group("click_50_seq", _CLICKS, "SEQUENCE"),
        _TOWERS + ' din_towers { input: "click_50_seq" attn_mlp { hidden_units: [8] activation: "Dice" } }',
    ),
    "dlrm": (_SPARSE, "dense_mlp { hidden_units: [8, 16] } final { hidden_units: [16, 8] } arch_with_sparse: true"),
    "wukong": (
        _SPARSE,
        """dense_mlp { hidden_units: [16] }
        wukong_layers {
            lcb_feature_num: 4 fmb_feature_num: 4 compressed_feature_num: 2 feature_num_mlp { hidden_units: [8] }
        }
        final { hidden_units: [8] }""",
    ),
    "mask_net": (
        _MIXED,
        """mask_net_module {
            n_mask_blocks: 2
            mask_block { reduction_ratio: 0.5 hidden_dim: 16 }
            top_mlp { hidden_units: [8] }
            use_parallel: false
        }""",
    ),
    "dcn_v1": (_MIXED, "cross { cross_num: 2 } deep { hidden_units: [16] } final { hidden_units: [8] }"),
    "dcn_v2": (
        _MIXED,
        """backbone { hidden_units: [16] } cross { cross_num: 2 low_rank: 4 }
        deep { hidden_units: [16] } final { hidden_units: [8] }""",
    ),
    "xdeepfm": (
        _WIDE + _DEEP,
        """cin { cin_layer_size: [4, 4] } deep { hidden_units: [16] } final { hidden_units: [8] }
        wide_embedding_dim: 8""",
    ),
    "rocket_launching": (
        _MIXED,
        """share_mlp { hidden_units: [16] } booster_mlp { hidden_units: [16, 8] } light_mlp { hidden_units: [8] }
        feature_based_distillation: true feature_distillation_function: COSINE""",
    ),
}


def _tasks(of_second: str = "") -> str:
    """Two task towers."""
    found = ""
    for name, label, more in (("ctr", "clk", ""), ("cvr", "buy", of_second)):
        found += f"""
        task_towers {{
            tower_name: "{name}"
            label_name: "{label}"
            metrics {{ auc {{}} }}
            losses {{ binary_cross_entropy {{}} }}
            mlp {{ hidden_units: [8] }}
            {more}
        }}"""
    return found


_SPACE = 'task_space_indicator_label: "clk" in_task_space_weight: 1.0 out_task_space_weight: 0.0'
_EXPERTS = "expert_mlp { hidden_units: [16, 8] } gate_mlp { hidden_units: [8] } num_expert: 2"
TASKS = {
    "simple_multi_task": (_MIXED, _tasks()),
    "mmoe": (_MIXED, _EXPERTS + _tasks(_SPACE)),
    "ple": (
        _MIXED,
        """extraction_networks {
            network_name: "layer1" expert_num_per_task: 2 share_num: 1
            task_expert_net { hidden_units: [8] } share_expert_net { hidden_units: [8] }
        }"""
        + _tasks(),
    ),
    "dbmtl": (
        _MIXED,
        f"bottom_mlp {{ hidden_units: [16] }} {_EXPERTS}"
        + _tasks(f'relation_tower_names: "ctr" relation_mlp {{ hidden_units: [8] }} {_SPACE}'),
    ),
    "dc2vr": (
        _MIXED,
        "bottom_mlp { hidden_units: [16] }" + _tasks('intervention_tower_names: "ctr" low_rank_dim: 4'),
    ),
    "pepnet": (
        _MIXED + _group("domain", ("age_level",)) + _group("uia", ("user_id", "adgroup_id")),
        """epnet_hidden_unit: 8 ppnet_hidden_units: [16, 8] ppnet_dropout_ratio: [0.1]
        domain_input_name: "domain" task_domain_num: 2"""
        + _tasks(),
    ),
}


def config_of(model: str, root: str) -> str:
    """Text of a whole config that reads and writes below `root`."""
    single = model in RANK
    groups, body = (RANK if single else TASKS)[model]
    labels = ["clk"] if single else ["clk", "buy", "domain"]
    head = _HEAD.format(
        root=root,
        fg="fg_encoded: true" if single else "fg_mode: FG_NONE",
        labels="\n    ".join(f'label_fields: "{label}"' for label in labels),
    )
    model_config = f"{groups}    {model} {{\n        {body}\n    }}\n{_ONE if single else ''}"
    return f"{head}{_FEATURES}model_config {{\n{model_config}}}\n"


def rows(seed: int) -> pa.Table:
    """Finished values: several of a row between \\x03, elements of a sequence between ;, null where there is none."""
    rng = np.random.default_rng(seed)

    def joined(most: int, separator: str, count: int) -> list[str | None]:
        lists = [rng.integers(0, most, rng.integers(0, count)) for _ in range(ROWS)]
        return [separator.join(map(str, values)) or None for values in lists]

    lengths = rng.integers(0, 6, ROWS)
    clicks = {
        name: [";".join(map(str, rng.integers(0, most, length))) for length in lengths]
        for name, most in (("adgroup_id", 500), ("cate_id", 60))
    }
    click = rng.integers(0, 2, ROWS)
    return pa.table(
        {
            "user_id": rng.integers(0, 40, ROWS),
            "age_level": [str(level) for level in rng.integers(0, 5, ROWS)],
            "tag_brand_list": joined(100, "\x03", 4),
            "adgroup_id": rng.integers(0, 500, ROWS),
            "cate_id": pa.array(rng.integers(0, 60, ROWS), mask=rng.random(ROWS) < 0.1),
            "price": rng.integers(0, 5, ROWS),
            "rates": [f"{a:.3f}\x03{b:.3f}" if a > 0.1 else None for a, b in rng.random((ROWS, 2))],
            "age_cate": rng.integers(0, 100, ROWS),
            "cate_clicks": rng.integers(0, 4, ROWS),
            **{f"click_50_seq__{name}": texts for name, texts in clicks.items()},
            "clk": click,
            "buy": click * rng.integers(0, 2, ROWS),
            "domain": rng.integers(0, 2, ROWS),
        }
    )

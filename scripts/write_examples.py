"""Writes examples/models/: a complete config for every model and layout of data; `--check` only compares.

Features and training settings are those of the examples that people tune by hand; here they get another model.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import fill, indent

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
_PERSON = ["gender", "age", "occupation"]
_FILM = ["item_id", "genres", "year"]
_SHOPPER = [
    "user_id", "cms_segid", "cms_group_id", "final_gender_code", "age_level", "pvalue_level", "shopping_level",
    "occupation", "new_user_class_level", "tag_category_list", "tag_brand_list",
]  # fmt: skip
_AD = ["adgroup_id", "cate_id", "campaign_id", "customer", "brand", "price", "pid"]
_CLICKS = [f"click_50_seq__{name}" for name in ("adgroup_id", "cate_id", "brand")]
# Name, example that lends its features, what it is in words, and its features by role.
LAYOUTS = {
    "movielens": ("deepfm_movielens", "MovieLens-100K", {"sparse": ["user_id", *_PERSON, *_FILM], "dense": []}),
    "criteo": (
        "dlrm_criteo",
        "the Criteo layout",
        {"sparse": [f"cat_{i}" for i in range(26)], "dense": [f"int_{i}" for i in range(13)]},
    ),
    "movielens_history": (
        "din_movielens",
        "MovieLens-100K with histories",
        {
            "user": _PERSON,
            "item": _FILM,
            "history": ["item_id", "genres", "hist__item_id", "hist__genres", "hist__rating"],
            "category": ["genres", "hist__genres"],
        },
    ),
    "taobao_history": (
        "mmoe_taobao",
        "the Taobao layout with histories",
        {
            "user": _SHOPPER,
            "item": _AD,
            "history": ["adgroup_id", "cate_id", "brand", *_CLICKS],
            "category": ["cate_id", "click_50_seq__cate_id"],
        },
    ),
    "movielens_tasks": (
        "mmoe_movielens",
        "two tasks of MovieLens-100K",
        {"all": ["user_id", *_PERSON, *_FILM], "domain": ["gender"], "uia": ["user_id", "item_id"]},
    ),
    "taobao_tasks": (
        "mmoe_taobao",
        "two tasks of the Taobao layout",
        {
            "all": [*_SHOPPER, *_AD],
            "domain": ["pid"],
            "uia": ["user_id", "adgroup_id"],
            "history": ["cate_id", *_CLICKS],
        },
    ),
}
_END = "losses { binary_cross_entropy {} }\nmetrics { auc {} }\ntrain_metrics { auc {} decay_step: 20 }"
_MLP = "{ hidden_units: [128, 64] }"
# What each model says for itself; %DENSE% stands where a dense_mlp goes if there are numbers.
RANK = {
    "deepfm": ("wide deep", f"deep {_MLP}"),
    "wide_and_deep": ("wide deep", f"deep {_MLP}"),
    "xdeepfm": ("wide deep", f"cin {{ cin_layer_size: [32, 32] }}\ndeep {_MLP}\nfinal {{ hidden_units: [64] }}"),
    "multi_tower": ("deep", f'towers {{ input: "deep" mlp {_MLP} }}\nfinal {{ hidden_units: [64] }}'),
    "dcn_v1": ("deep", f"cross {{ cross_num: 3 }}\ndeep {_MLP}\nfinal {{ hidden_units: [64] }}"),
    "dcn_v2": ("deep", f"cross {{ cross_num: 3 low_rank: 32 }}\ndeep {_MLP}\nfinal {{ hidden_units: [64] }}"),
    "mask_net": (
        "deep",
        f"mask_net_module {{\n  n_mask_blocks: 3\n  mask_block {{ hidden_dim: 64 }}\n  top_mlp {_MLP}\n}}",
    ),
    "rocket_launching": (
        "deep",
        "share_mlp { hidden_units: [128] }\nlight_mlp { hidden_units: [32] }\nbooster_mlp { hidden_units: [128, 64] }",
    ),
    "gdcn": ("deep", f"cross {{ cross_num: 3 }}\ndeep {_MLP}"),
    "finalmlp": (
        "deep",
        f"first {{ mlp {_MLP} gate_mlp {{ hidden_units: [32] }} }}\nsecond {{ mlp {_MLP} }}\nnum_heads: 4",
    ),
    "dlrm": ("sparse dense", f"%DENSE%final {_MLP}"),
    "wukong": (
        "sparse dense",
        "%DENSE%wukong_layers {\n  lcb_feature_num: 8\n  fmb_feature_num: 8\n"
        "  feature_num_mlp { hidden_units: [64] }\n}\n"
        f"final {_MLP}",
    ),
    "autoint": ("sparse dense", f"%DENSE%num_layers: 2\nhead_dim: 16\ndeep {_MLP}"),
    "fibinet": ("sparse dense", f"%DENSE%deep {_MLP}"),
}
_SIDES = f'towers {{ input: "user" mlp {_MLP} }}\ntowers {{ input: "item" mlp {_MLP} }}\n'
SEQUENCES = {
    "multi_tower_din": 'din_towers { input: "history" attn_mlp { hidden_units: [32, 16] } }',
    "bst": 'bst_towers { input: "history" max_seq_length: 20 }',
    "dien": 'dien_towers { input: "history" max_seq_length: 20 auxiliary_weight: 0.5 }',
    "sim": 'sim_towers {\n  input: "history" search: "hard" top_k: 10\n  %CATEGORY%\n}\n'
    'sim_towers { input: "history" top_k: 10 }',
}
_EXPERTS = f"expert_mlp {_MLP}\n"
# Beside the task towers, and what the second of them says about the first.
TASKS = {
    "simple_multi_task": ("", ""),
    "mmoe": (f"{_EXPERTS}num_expert: 4\n", ""),
    "ple": (
        'extraction_networks {\n  network_name: "first"\n  expert_num_per_task: 2\n  share_num: 2\n'
        f"  task_expert_net {_MLP}\n  share_expert_net {_MLP}\n}}\n",
        "",
    ),
    "dbmtl": (f"bottom_mlp {_MLP}\n", 'relation_tower_names: "%FIRST%"\nrelation_mlp { hidden_units: [32] }\n'),
    "dc2vr": (f"bottom_mlp {_MLP}\n", 'intervention_tower_names: "%FIRST%"\nlow_rank_dim: 8\n'),
    "pepnet": ("ppnet_hidden_units: [128, 64]\n", ""),
    "stem": (_EXPERTS, ""),
}
_TOWERS = {
    "movielens_tasks": (("liked", "liked", ""), ("loved", "loved", "")),
    "taobao_tasks": (
        ("ctr", "clk", ""),
        ("cvr", "buy", 'task_space_indicator_label: "clk"\nin_task_space_weight: 1\nout_task_space_weight: 0\n'),
    ),
}


def group(name: str, features: list[str], kind: str = "DEEP") -> str:
    """Text of a feature group."""
    listed = fill(", ".join(f'"{feature}"' for feature in features), 104, break_on_hyphens=False)
    names = f"[{listed}]" if "\n" not in listed else f"[\n{indent(listed, '    ')}\n  ]"
    return f'feature_groups {{\n  group_name: "{name}"\n  feature_names: {names}\n  group_type: {kind}\n}}'


def rank_model(model: str, layout: str) -> str:
    """Content of model_config for a model that sees all features alike."""
    kinds, body = RANK[model]
    features = LAYOUTS[layout][2]
    groups = {
        "wide": group("wide", features["sparse"], "WIDE"),
        "deep": group("deep", features["sparse"] + features["dense"]),
        "sparse": group("sparse", features["sparse"]),
        "dense": group("dense", features["dense"]) if features["dense"] else "",
    }
    body = body.replace("%DENSE%", "dense_mlp { hidden_units: [64, 16] }\n" if features["dense"] else "")
    return "\n".join([*filter(None, (groups[k] for k in kinds.split())), f"{model} {{\n{indent(body, '  ')}\n}}", _END])


def sequence_model(model: str, layout: str) -> str:
    """Content of model_config for a model with a tower on a history."""
    features = LAYOUTS[layout][2]
    category, of_sequence = features["category"]
    tower = SEQUENCES[model].replace("%CATEGORY%", f'category: "{category}" category_sequence: "{of_sequence}"')
    body = f"{_SIDES}{tower}\nfinal {_MLP}"
    groups = [group("user", features["user"]), group("item", features["item"])]
    groups.append(group("history", features["history"], "SEQUENCE"))
    return "\n".join([*groups, f"{model} {{\n{indent(body, '  ')}\n}}", _END])


def task_model(model: str, layout: str) -> str:
    """Content of model_config for a model of two tasks."""
    features, (body, relation) = LAYOUTS[layout][2], TASKS[model]
    groups = [_with_history(group("all", features["all"]), features.get("history", []))]
    groups += [group(name, features[name]) for name in ("domain", "uia") if model == "pepnet"]
    first = _TOWERS[layout][0][0]
    for (name, label, more), extra in zip(_TOWERS[layout], ("", relation), strict=True):
        inner = f'tower_name: "{name}"\nlabel_name: "{label}"\nmlp {{ hidden_units: [64] }}\n{extra}{more}'
        inner = inner.replace("%FIRST%", first) + "losses { binary_cross_entropy {} }\nmetrics { auc {} }"
        body += f"task_towers {{\n{indent(inner, '  ')}\n}}\n"
    return "\n".join([*groups, f"{model} {{\n{indent(body.rstrip(), '  ')}\n}}"])


def _with_history(text: str, features: list[str]) -> str:
    """The group with the mean of a history at its end."""
    if not features:
        return text
    names = ", ".join(f'"{feature}"' for feature in features)
    inner = f'sequence_groups {{\n  group_name: "history"\n  feature_names: [{names}]\n}}\n'
    inner += 'sequence_encoders { pooling_encoder { input: "history" } }'
    return text[:-1] + indent(inner, "  ") + "\n}"


def configs() -> Iterator[tuple[str, str]]:
    """File name and text of every config."""
    for models, make, layouts in (
        (RANK, rank_model, ("movielens", "criteo")),
        (SEQUENCES, sequence_model, ("movielens_history", "taobao_history")),
        (TASKS, task_model, ("movielens_tasks", "taobao_tasks")),
    ):
        for model in models:
            for layout in layouts:
                name = f"{model}_{layout.split('_')[0]}"
                if not (EXAMPLES / f"{name}.config").exists():
                    yield f"{name}.config", _whole(name, layout, make(model, layout))


def _whole(name: str, layout: str, model: str) -> str:
    base, words, _ = LAYOUTS[layout]
    text = (EXAMPLES / f"{base}.config").read_text()
    data = next(line for line in text.splitlines() if line.startswith("#   python -m tzx.apps."))
    settings = text[text.index("\n\ntrain_input_path") : text.index("model_config {")].replace(base, name)
    if layout == "taobao_history":
        settings = settings.replace('  label_fields: "buy"\n', "")
    run = f"#   torchx run -s local_cwd tzx.components.train --config examples/models/{name}.config"
    title = name.removesuffix(f"_{layout.split('_')[0]}")
    return f"# The model `{title}` on {words}.\n#\n{data}\n{run}{settings}model_config {{\n{indent(model, '  ')}\n}}\n"


if __name__ == "__main__":
    folder, made = EXAMPLES / "models", dict(configs())
    if sys.argv[1:] == ["--check"]:
        there = {path.name: path.read_text() for path in folder.glob("*.config")}
        sys.exit("examples/models is out of step; run: python scripts/write_examples.py" if there != made else 0)
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.config"):
        old.unlink()
    for name, text in made.items():
        (folder / name).write_text(text)

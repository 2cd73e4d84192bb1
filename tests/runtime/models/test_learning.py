"""Models find what only their structure reaches quickly: each beats a plain network of like size by a stated margin."""

import functools

import pytest
from worlds import (
    BCE,
    BUY,
    CTR,
    DEEP,
    DOMAINS,
    FINAL,
    LONG,
    MATCH,
    ORDER,
    PERSONS,
    SCARCE,
    SEEN,
    SIDES,
    SINGLE,
    auc_of,
    group,
)  # fmt: skip

from tzx.runtime.config.catalog import CATALOG

pytestmark = pytest.mark.slow

WIDE = group("wide", ["user", "item", "day"], "WIDE")
TOWER = 'towers { input: "deep" mlp { hidden_units: [16, 8] } }'
EXPERT = "expert_mlp { hidden_units: 16 }"
SCARCE_TASK = f"task_towers {{ {BUY} }}"
# Model: world, margin of AUC over the plain network, config.
CASES = {
    "dlrm": (MATCH, 0.05, f"dlrm {{ {FINAL} }}"),
    "wukong": (
        MATCH,
        0.05,
        f"""wukong {{ wukong_layers {{ lcb_feature_num: 2 fmb_feature_num: 2 compressed_feature_num: 3
        feature_num_mlp {{ hidden_units: 8 }} }} {FINAL} }}""",
    ),
    "deepfm": (MATCH, 0.05, f"{WIDE} deepfm {{ {DEEP} {FINAL} }}"),
    "xdeepfm": (
        MATCH,
        0.05,
        f"{WIDE} xdeepfm {{ cin {{ cin_layer_size: 8 }} {DEEP} {FINAL} wide_embedding_dim: 8 }}",
    ),
    "mask_net": (MATCH, 0.05, "mask_net { mask_net_module { n_mask_blocks: 2 mask_block { hidden_dim: 16 } } }"),
    "dcn_v1": (MATCH, 0.03, f"dcn_v1 {{ cross {{ cross_num: 2 }} {DEEP} {FINAL} }}"),
    "dcn_v2": (MATCH, 0.05, f"dcn_v2 {{ cross {{ cross_num: 1 low_rank: 16 }} {DEEP} {FINAL} }}"),
    "gdcn": (MATCH, 0.05, f"gdcn {{ cross {{ cross_num: 1 }} {DEEP} }}"),
    "finalmlp": (
        MATCH,
        0.05,
        "finalmlp { first { mlp { hidden_units: 16 } } second { mlp { hidden_units: 16 } } }",
    ),
    "fibinet": (MATCH, 0.05, f"fibinet {{ {DEEP} }}"),
    "autoint": (MATCH, 0.05, "autoint { num_layers: 1 num_heads: 2 head_dim: 8 }"),
    # The small network that learns beside a large one beats one of its size that learns alone.
    "rocket_launching": (
        MATCH,
        0.03,
        "rocket_launching { light_mlp { hidden_units: [16, 8] } booster_mlp { hidden_units: [128, 64] } }",
    ),
    "multi_tower_din": (
        SEEN,
        0.1,
        f'multi_tower_din {{ {TOWER} din_towers {{ input: "seq" attn_mlp {{ hidden_units: 8 }} }} {FINAL} }}',
    ),
    "bst": (
        ORDER,
        0.2,
        f'bst {{ {TOWER} bst_towers {{ input: "seq" max_seq_length: 6 num_heads: 2 }} {FINAL} }}',
    ),
    "dien": (
        ORDER,
        0.2,
        f'dien {{ {TOWER} dien_towers {{ input: "seq" auxiliary_weight: 0.1 }} {FINAL} }}',
    ),
    "sim": (
        LONG,
        0.2,
        f"""sim {{ {TOWER} sim_towers {{ input: "seq" search: "hard" category: "kind" category_sequence: "kinds"
        num_heads: 1 top_k: 10 }} {FINAL} }}""",
    ),
    "sim, soft search": (
        LONG,
        0.2,
        f'sim {{ {TOWER} sim_towers {{ input: "seq" num_heads: 1 top_k: 10 }} {FINAL} }}',
    ),
    "simple_multi_task": (SCARCE, 0.1, f"simple_multi_task {{ {CTR} {SCARCE_TASK} }}"),
    "mmoe": (SCARCE, 0.1, f"mmoe {{ {EXPERT} num_expert: 2 {CTR} {SCARCE_TASK} }}"),
    "ple": (
        SCARCE,
        0.1,
        f"""ple {{ extraction_networks {{ network_name: "a" expert_num_per_task: 1 share_num: 1
        task_expert_net {{ hidden_units: 16 }} share_expert_net {{ hidden_units: 16 }} }} {CTR} {SCARCE_TASK} }}""",
    ),
    "dbmtl": (
        SCARCE,
        0.1,
        f"""dbmtl {{ {CTR} task_towers {{ {BUY} relation_tower_names: "ctr" relation_mlp {{ hidden_units: 8 }} }} }}""",
    ),
    "dc2vr": (
        SCARCE,
        0.1,
        f'dc2vr {{ {CTR} task_towers {{ {BUY} intervention_tower_names: "ctr" low_rank_dim: 4 }} }}',
    ),
    "stem": (SCARCE, 0.1, f"stem {{ {EXPERT} {CTR} {SCARCE_TASK} }}"),
    "wide_and_deep": (SINGLE, 0.02, f"wide_and_deep {{ {DEEP} }}"),
    "pepnet, domains": (DOMAINS, 0.03, f"pepnet {{ {CTR} }}"),
    "pepnet, persons": (PERSONS, 0.03, f"pepnet {{ ppnet_hidden_units: [16, 8] {CTR} }}"),
    # The plain network is a MultiTower of one tower.
    "multi_tower": (
        SIDES,
        0.02,
        f"""multi_tower {{ towers {{ input: "user" mlp {{ hidden_units: [8, 4] }} }}
        towers {{ input: "item" mlp {{ hidden_units: [8, 4] }} }} {FINAL} }}""",
    ),
}


@functools.cache
def plain_auc(world):
    return auc_of(world, world.plain)


def test_every_model_has_a_case():
    assert {name.split(",")[0] for name in CASES} == {facts.field.name for facts in CATALOG.values()}


@pytest.mark.parametrize("name", CASES)
def test_beats_a_plain_network(name):
    world, margin, text = CASES[name]
    losses = "" if "task_towers" in text else BCE
    assert auc_of(world, f"{text} {losses}") > plain_auc(world) + margin

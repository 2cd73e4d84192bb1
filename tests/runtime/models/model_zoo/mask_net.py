"""MaskNet."""

import numpy as np

from model_zoo.configs import ALL, BCE, CE3
from model_zoo.oracle import concat

TEXTS = {
    "mask_net": f"""{ALL} mask_net {{ mask_net_module {{ n_mask_blocks: 3 top_mlp {{ hidden_units: [8, 6] }}
        mask_block {{ reduction_ratio: 0.5 hidden_dim: 5 }} }} }} {BCE}""",
    "mask_net_serial": f"""{ALL} mask_net {{ mask_net_module {{ n_mask_blocks: 2 use_parallel: false
        mask_block {{ reduction_ratio: 0 aggregation_dim: 7 hidden_dim: 8 }} }} }} {CE3}""",
}
BAD = {
    "mask_net ratio": (
        f"{ALL} mask_net {{ mask_net_module {{ n_mask_blocks: 1 "
        f"mask_block {{ reduction_ratio: 0.01 hidden_dim: 4 }} }} }} {BCE}",
        "model_config.mask_net: mask_block: reduction_ratio 0.01 of 16 leaves 0 units to make masks from",
    ),
    "mask_net aggregation": (
        f"{ALL} mask_net {{ mask_net_module {{ n_mask_blocks: 1 "
        f"mask_block {{ reduction_ratio: 0 hidden_dim: 4 }} }} }} {BCE}",
        "mask_block: aggregation_dim 0 leaves 0 units",
    ),
    "mask_net hidden_dim": (
        f"{ALL} mask_net {{ mask_net_module {{ n_mask_blocks: 1 mask_block {{ hidden_dim: 0 }} }} }} {BCE}",
        "mask_block: hidden_dim is 0; allowed: 1 or more",
    ),
    "mask_net without blocks": (
        f"{ALL} mask_net {{ mask_net_module {{ n_mask_blocks: 0 mask_block {{ hidden_dim: 4 }} }} }} {BCE}",
        "model_config.mask_net: n_mask_blocks is 0; allowed: 1 or more",
    ),
}


def block(o, name, x, e):
    mask = o.linear(f"{name}.mask.2", np.maximum(o.linear(f"{name}.mask.0", e), 0))
    return np.maximum(o.layer_norm(f"{name}.norm", (mask * x) @ o.p[f"{name}.hidden.weight"].T), 0)


def mask_net(o):
    e = o.plain("user", "age", "tags", "item", "price")
    assert o.p["mask_net.blocks.0.mask.0.bias"].shape == (8,)
    x = o.layer_norm("mask_net.norm", e)
    blocks = [block(o, f"mask_net.blocks.{i}", x, e) for i in range(3)]
    return o.mlp("mask_net.top", concat(*blocks)) @ o.p["output.weight"].T


def mask_net_serial(o):
    e = o.plain("user", "age", "tags", "item", "price")
    x = block(o, "mask_net.blocks.0", o.layer_norm("mask_net.norm", e), e)
    return block(o, "mask_net.blocks.1", x, e) @ o.p["output.weight"].T


FORMULAS = [mask_net, mask_net_serial]

"""Configs of every model, the formula each must equal in float64, and configs that must be refused.

One module per model: TEXTS holds model_configs by name, with every part of the model in one of them and left out in
another; FORMULAS the functions of the same names; BAD a model_config and a part of the message it must get.
"""

import importlib

MODULES = (
    "basics", "dcn_v1", "dcn_v2", "xdeepfm", "mask_net", "wukong", "rocket_launching",
    "autoint", "finalmlp", "fibinet", "gdcn", "bst", "dien", "sim",
    "simple_multi_task", "ple", "dbmtl", "dc2vr", "pepnet", "stem",
)  # fmt: skip

TEXTS, FORMULAS, BAD = {}, {}, {}
for _name in MODULES:
    _module = importlib.import_module(f"model_zoo.{_name}")
    assert sorted(_module.TEXTS) == sorted(f.__name__ for f in _module.FORMULAS), _name
    TEXTS |= _module.TEXTS
    FORMULAS |= {formula.__name__: formula for formula in _module.FORMULAS}
    BAD |= _module.BAD

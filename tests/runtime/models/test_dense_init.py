"""How dense layers start, when model_config says so."""

import pytest
import torch
from torch import nn

from tzx.runtime.errors import ConfigError
from tzx.runtime.models import build_model


def built(make_case, text):
    case = make_case(text)
    torch.manual_seed(0)
    return build_model(case.config, case.features)


def test_every_layer_starts_as_asked_and_tables_do_not(make_case, model_name, model_texts):
    model = built(make_case, f'{model_texts[model_name]} dense_init_fn: "nn.init.constant_,val=0.25"')
    layers = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv1d)}
    for name, layer in layers.items():
        if not hasattr(layer, "parametrizations"):
            assert (layer.weight == 0.25).all() and (layer.bias is None or (layer.bias == 0).all()), name
    assert all((p != 0.25).any() for n, p in model.named_parameters() if ".collection." in n)
    model(make_case(model_texts[model_name]).batch)


def test_widths_are_those_of_the_initializer(make_case, model_texts):
    model = built(make_case, f'{model_texts["mmoe_plain"]} dense_init_fn: "nn.init.xavier_normal_"')
    weights = [m.weight for m in model.modules() if isinstance(m, nn.Linear)]
    scaled = torch.cat([(w / (2 / sum(w.shape)) ** 0.5).flatten() for w in weights])
    assert len(scaled) > 300 and scaled.std().item() == pytest.approx(1, abs=0.1)


def test_an_unknown_initializer_is_named(make_case, model_texts):
    with pytest.raises(ConfigError, match=r"model_config.dense_init_fn: .*nn.init.xavier_normal_"):
        built(make_case, f'{model_texts["mmoe"]} dense_init_fn: "nn.init.xavier_norml_"')

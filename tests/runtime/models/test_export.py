"""Predictions can be traced for batches of any size."""

import torch

from tzx.runtime.embedding.plain import swap_for_serving
from tzx.runtime.serving.tensors import flatten
from tzx.runtime.serving.tracing import trace


def test_traced_predictions_equal_the_models(make_case, model_texts, model_name):
    case = make_case(model_texts[model_name], size=5)
    model = case.model().eval()
    other = make_case(model_texts[model_name], size=13, seed=4)
    with torch.no_grad():
        expected = model.predict(other.batch)
    swap_for_serving(model)
    traced = trace(model, case.batch, model.output_names).module()
    got = traced(*flatten(other.batch))
    for name, value in zip(model.output_names, got, strict=True):
        torch.testing.assert_close(value, expected[name], atol=1e-5, rtol=1e-5)

"""Every model against an independent rendering of its formula in NumPy float64, on random weights."""

import numpy as np
import pytest
from model_zoo import FORMULAS
from model_zoo.oracle import Oracle, predictions


@pytest.mark.parametrize("size", [1, 9])
def test_predictions_equal_the_formula(make_case, model_texts, model_name, size):
    case = make_case(model_texts[model_name], size=size, seed=size)
    model = case.model(seed=size).eval()
    got = {name: p.detach().numpy() for name, p in model.predict(case.batch).items()}
    expected = predictions(FORMULAS[model_name](Oracle(model, case.arrays)))
    assert list(got) == list(expected) == model.output_names
    for name, value in expected.items():
        assert got[name].shape == value.shape, name
        np.testing.assert_allclose(got[name], value, atol=1e-5, rtol=1e-5, err_msg=name)

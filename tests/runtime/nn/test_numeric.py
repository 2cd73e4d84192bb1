import numpy as np
import torch

from tzx.runtime.nn.numeric import AutoDis, NumberProjection, positions


def test_autodis_is_that_of_the_paper():
    torch.manual_seed(0)
    made = AutoDis(features=3, dim=4, channels=5, temperature=0.2, keep=0.7).double()
    x_BF1 = torch.randn(6, 3, 1, dtype=torch.float64)
    w, mix, vectors = (p.detach().numpy() for p in (made.project_FC, made.mix_FCC, made.vectors_FCD))
    expected = np.empty((6, 3, 4))
    for b, row in enumerate(x_BF1.numpy()):
        for f in range(3):
            h = row[f, 0] * w[f]
            h = np.where(h > 0, h, 0.01 * h)
            score = (mix[f] @ h + 0.7 * h) / 0.2
            share = np.exp(score - score.max())
            expected[b, f] = share / share.sum() @ vectors[f]
    np.testing.assert_allclose(made(x_BF1).detach().numpy(), expected, atol=1e-12)


def test_parameters_start_as_wide_as_stated():
    torch.manual_seed(0)
    made = AutoDis(features=200, dim=8, channels=20, temperature=0.1, keep=0.8)
    deviations = [p.std().item() for p in (made.project_FC, made.mix_FCC, made.vectors_FCD)]
    np.testing.assert_allclose(deviations, [(2 / 21) ** 0.5, (1 / 20) ** 0.5, 1], rtol=0.03)
    weight = NumberProjection(features=100, numbers=6, dim=10).weight_FVD
    np.testing.assert_allclose(weight.std().item(), (2 / 16) ** 0.5, rtol=0.03)


def test_a_projection_is_a_matrix_of_each_feature():
    made = NumberProjection(features=2, numbers=3, dim=4).double()
    x_BFV = torch.randn(5, 2, 3, dtype=torch.float64)
    expected = np.stack([x_BFV[:, f].numpy() @ made.weight_FVD[f].detach().numpy() for f in range(2)], axis=1)
    np.testing.assert_allclose(made(x_BFV).detach().numpy(), expected, atol=1e-12)


def test_positions():
    assert positions([4, 0], 3).tolist() == [4, 5, 6, 0, 1, 2]

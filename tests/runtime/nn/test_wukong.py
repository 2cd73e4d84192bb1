import torch

from tzx.runtime.nn.wukong import WuKongLayer
from tzx.runtime.protos import module_pb2


def test_as_many_vectors_as_before_need_no_residual_weights() -> None:
    config = module_pb2.WuKongLayer(lcb_feature_num=2, fmb_feature_num=3, feature_num_mlp=module_pb2.MLP())
    assert WuKongLayer(5, 4, config).residual is None
    layer = WuKongLayer(7, 4, config)
    assert layer.residual is not None and layer.residual.weight.shape == (5, 7)
    assert layer(torch.randn(2, 7, 4)).shape == (2, layer.out_features, 4)


def test_vectors_come_out_normalised() -> None:
    torch.manual_seed(0)
    config = module_pb2.WuKongLayer(lcb_feature_num=1, fmb_feature_num=1, feature_num_mlp=module_pb2.MLP())
    out = WuKongLayer(3, 8, config)(100 * torch.randn(5, 3, 8))
    torch.testing.assert_close(out.mean(-1), torch.zeros(5, 2), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.var(-1, unbiased=False), torch.ones(5, 2), atol=1e-3, rtol=0)

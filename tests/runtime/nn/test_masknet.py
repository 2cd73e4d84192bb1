import torch

from tzx.runtime.nn.masknet import MaskNetBlocks
from tzx.runtime.protos.module_pb2 import MLP, MaskBlock, MaskNetModule


def blocks(**fields: object) -> MaskNetBlocks:
    return MaskNetBlocks(6, MaskNetModule(mask_block=MaskBlock(hidden_dim=5), **fields))  # type: ignore[arg-type]


def test_widths() -> None:
    assert blocks(n_mask_blocks=3).out_dim == 15
    assert blocks(n_mask_blocks=3, use_parallel=False).out_dim == 5
    assert blocks(n_mask_blocks=3, top_mlp=MLP(hidden_units=[4, 2])).out_dim == 2
    serial = blocks(n_mask_blocks=2, use_parallel=False)
    assert [block.hidden.in_features for block in serial.blocks] == [6, 5]  # type: ignore[union-attr]
    assert serial(torch.randn(3, 6)).shape == (3, 5)


def test_by_default_masks_are_made_from_as_many_units_as_there_are_inputs() -> None:
    (block,) = blocks(n_mask_blocks=1).blocks
    assert block.mask[0].weight.shape == (6, 6)  # type: ignore[index, union-attr]


def test_a_mask_of_zeros_leaves_the_bias_of_the_norm() -> None:
    net = blocks(n_mask_blocks=1)
    (block,) = net.blocks
    with torch.no_grad():
        block.mask[2].weight.zero_()  # type: ignore[index, union-attr]
        block.mask[2].bias.zero_()  # type: ignore[index, union-attr]
        block.norm.bias.copy_(torch.tensor([1.0, -1, 2, 0, 3]))  # type: ignore[union-attr, operator]
    assert net(torch.randn(2, 6)).tolist() == [[1, 0, 2, 0, 3]] * 2

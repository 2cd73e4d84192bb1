"""TorchX components: the functions that `torchx run` calls."""

"""TorchX scheduler plug-ins, one file per backend."""

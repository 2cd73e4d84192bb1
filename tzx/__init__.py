"""tzx: train, evaluate, export, predict and serve recommendation models from one config."""

__version__ = "0.1.0"

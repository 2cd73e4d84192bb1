"""Seeds of every random generator, and determinism."""

import random

import numpy as np
import torch


def seed_step(seed: int, rank: int, step: int) -> None:
    """Make what a step draws (dropout) depend on nothing before it, so that a resumed run draws the same."""
    number = ((seed * 65_537 + rank) * 2_654_435_761 + step) % 2**63
    torch.default_generator.manual_seed(number)  # torch.manual_seed also looks for devices, which takes 0.1 ms
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(number)


def seed_everything(seed: int, deterministic: bool = False) -> None:
    """Seed Python, NumPy and torch; with `deterministic`, torch refuses operators without a deterministic kernel."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    if deterministic:
        torch.use_deterministic_algorithms(True)

"""Run settings that the config schema has no field for: seeds and determinism.

The compatible system sets them by environment variables; they are honoured here, and nowhere else.
"""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass

logger = logging.getLogger("tzx")

_SEEDS = ("TORCH_MANUAL_SEED", "PYTHON_RANDOM_SEED", "NUMPY_MANUAL_SEED")


@dataclass(frozen=True)
class RunSettings:
    """Seed of every random generator; `deterministic` refuses kernels that are not."""

    seed: int = 1
    deterministic: bool = False

    @staticmethod
    def from_env(seed: int | None, env: Mapping[str, str] = os.environ) -> "RunSettings":
        """Settings from a flag, else from the environment, else the defaults."""
        named = next((name for name in _SEEDS if env.get(name)), None)
        if seed is None and named:
            seed = int(env[named])
            logger.info("seed %d taken from %s", seed, named)
        deterministic = env.get("USE_DETERMINISTIC_ALGORITHMS", "").lower() in ("1", "true")
        return RunSettings(seed=RunSettings.seed if seed is None else seed, deterministic=deterministic)

"""Finds a bad config before a job is submitted, as far as it can be seen from here."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from tzx.runtime.errors import UserError

_PATH_FLAGS = ("train_input_path", "eval_input_path", "model_dir")


def check_config(path: str, flags: Mapping[str, str], sets: Sequence[str], elsewhere: bool) -> None:
    """Raises what the app would raise about its config.

    Args:
        path: of the config.
        flags: the app's flags.
        sets: the app's --set overrides.
        elsewhere: whether the job sees another file system than this process, so that a missing file proves nothing.
    """
    if "://" in path or "${" in path:
        return
    if not Path(path).is_file():
        if elsewhere:
            return
        raise UserError(f"--config {path}: {'is a directory' if Path(path).is_dir() else 'no such file'}")
    from tzx.runtime.config import load_config

    own = [f"{name}={flags[name]}" for name in _PATH_FLAGS if name in flags]
    logger = logging.getLogger("tzx")
    level = logger.level
    logger.setLevel(logging.ERROR)  # the app will give the warnings
    try:
        # Models of the user's own are registered by code, which only the app runs.
        load_config(path, [*sets, *own], flags.get("edit_config_json"), needs_own_types=False)
    finally:
        logger.setLevel(level)


def check_user_module(name: str | None, elsewhere: bool) -> None:
    """Raises what the app would raise about a file that is not there; the file itself is not run here."""
    if name and name.endswith(".py") and not elsewhere and not Path(name).is_file():
        raise UserError(f"--user_module {name}: there is no such file")

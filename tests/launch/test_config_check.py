"""A launcher checks a config without the user's code: what only that code knows is left to the app."""

from pathlib import Path

import pytest

from tzx.launch.config_check import check_config
from tzx.runtime.config.catalog import CATALOG
from tzx.runtime.config.model_pages import smallest_config
from tzx.runtime.errors import ConfigError


def test_a_model_of_the_users_own_passes_and_the_rest_is_checked(tmp_path: Path) -> None:
    config = tmp_path / "own.config"
    text = smallest_config(CATALOG["DeepFM"]).replace("  deepfm {", "  custom_model { [mine.Unknown] {").replace(
        "\n  losses", "}\n  losses", 1
    )  # fmt: skip
    config.write_text(text)
    check_config(str(config), {}, ["model_config.custom_model.hidden=5"], elsewhere=False)
    config.write_text(text.replace("batch_size", "batch_sise"))
    with pytest.raises(ConfigError, match='DataConfig has no field "batch_sise"') as caught:
        check_config(str(config), {}, [], elsewhere=False)
    assert "1 error in" in str(caught.value)

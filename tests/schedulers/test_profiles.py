"""The profiles in .torchxconfig: what is commented out there works when the comment signs are taken away."""

import configparser
import re
from pathlib import Path

import pytest
from torchx.schedulers import get_scheduler_factories

ROOT = Path(__file__).parents[2]
SETTING = re.compile(r"^; ?(\[\w+\]|\w+ = .*)$", re.MULTILINE)


def profiles() -> dict[str, list[tuple[str, str]]]:
    """Sections and their settings, those behind a comment sign too; a setting may stand there twice, as a choice."""
    text = SETTING.sub(r"\1", (ROOT / ".torchxconfig").read_text())
    found: dict[str, list[tuple[str, str]]] = {}
    section = ""
    for line in text.splitlines():
        if match := re.fullmatch(r"\[([\w:]+)\]", line):
            section = match[1]
            found[section] = []
        elif match := re.fullmatch(r"(\w+) =(.*)", line):
            found[section].append((match[1], match[2].strip()))
    return found


def test_the_file_itself_can_be_read() -> None:
    parser = configparser.ConfigParser()
    assert parser.read(ROOT / ".torchxconfig") and parser["cli:run"]["workspace"] == ""


@pytest.mark.parametrize("name", [name for name in profiles() if not name.startswith("cli:")])
def test_a_profile_names_options_that_are_there(name: str) -> None:
    factory = get_scheduler_factories()[name]
    options = factory("x").run_opts()
    for key, value in profiles()[name]:
        option = options.get(key)
        assert option is not None, f"{name} has no option {key}"
        options.cfg_from_str(f"{key}={value}")


def test_every_scheduler_of_tzx_has_a_profile() -> None:
    named = set(re.findall(r"^    (\w+) = tzx_schedulers", (ROOT / "setup.cfg").read_text(), re.MULTILINE))
    assert named <= set(profiles())

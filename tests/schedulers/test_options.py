"""What `-cfg` may say."""

import re

import pytest
from torchx.schedulers import get_scheduler_factories

from tzx_schedulers._words import SchedulerError

OURS = ("local_cwd", "slurm", "kubernetes", "pai_dlc", "emr")


@pytest.mark.parametrize("name", OURS)
def test_a_misspelt_option_is_refused(name: str) -> None:
    options = get_scheduler_factories()[name]("x").run_opts()
    assert options.cfg_from_str("grace_seconds=5") == {"grace_seconds": 5} and options.cfg_from_str("") == {}
    for given, message in {
        "grace_second=5": "-cfg 'grace_second'=...: there is no such option; did you mean grace_seconds?",
        "zzz=5": "-cfg 'zzz'=...: there is no such option; `torchx runopts` lists those of each scheduler",
        "grace_seconds=5s": "-cfg grace_seconds='5s': expected a whole number",
        "grace_seconds": "-cfg 'grace_seconds': expected NAME=VALUE,NAME=VALUE",
    }.items():
        with pytest.raises(SchedulerError, match=re.escape(message)):
            options.cfg_from_str(given)


@pytest.mark.parametrize(
    ("name", "switch"), [("local_cwd", "detach"), ("slurm", "nomem"), ("pai_dlc", "fault_tolerance")]
)
def test_a_switch_is_true_or_false(name: str, switch: str) -> None:
    options = get_scheduler_factories()[name]("x").run_opts()
    assert options.cfg_from_str(f"{switch}=true") == {switch: True}
    with pytest.raises(SchedulerError, match=f"-cfg {switch}='yes': expected True or False"):
        options.cfg_from_str(f"{switch}=yes")

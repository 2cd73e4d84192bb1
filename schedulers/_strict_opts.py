"""Options as TorchX reads them, which passes over a name that no option has and takes any other word for False."""

import difflib
from typing import Any

from torchx.specs import runopts
from torchx.util.types import to_dict

from ._words import SchedulerError, shortened


class StrictOpts(runopts):
    """The options of a scheduler."""

    def cfg_from_str(self, cfg_str: str) -> dict[str, Any]:
        """What `-cfg` says, by name; a misspelt name or a value of another type is refused."""
        try:
            given = to_dict(cfg_str)
        except ValueError:
            raise SchedulerError(f"-cfg {shortened(cfg_str)}: expected NAME=VALUE,NAME=VALUE") from None
        for name, value in given.items():
            self._check(name, value)
        return dict(super().cfg_from_str(cfg_str))

    def _check(self, name: str, value: str) -> None:
        option = self.get(name)
        if option is None:
            near = difflib.get_close_matches(name, [known for known, _ in self], 1)
            hint = f"did you mean {near[0]}?" if near else "`torchx runopts` lists those of each scheduler"
            raise SchedulerError(f"-cfg {shortened(name)}=...: there is no such option; {hint}")
        if option.opt_type is bool and value.lower() not in ("true", "false"):
            raise SchedulerError(f"-cfg {name}={shortened(value)}: expected True or False")
        if option.opt_type is int:
            try:
                int(value)
            except ValueError:
                raise SchedulerError(f"-cfg {name}={shortened(value)}: expected a whole number") from None

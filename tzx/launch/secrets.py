"""Values that a dry run must not show."""

import re
from collections.abc import Mapping

_SECRET = re.compile(r"SECRET|TOKEN|PASSW|ACCESS_KEY|API_?KEY|PRIVATE|CREDENTIAL|_SK$|_AK$", re.IGNORECASE)


class Secret(str):
    """A string that prints as stars; as a value, and for a scheduler, it is what it is."""

    def __repr__(self) -> str:
        return "'***'"


def hide_secrets(env: Mapping[str, str]) -> dict[str, str]:
    """The same variables, those with telling names made Secret."""
    return {name: Secret(value) if _SECRET.search(name) else value for name, value in env.items()}

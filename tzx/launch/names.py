"""Names of jobs: short, readable and fit for every backend (a DNS label)."""

import re
from pathlib import PurePosixPath

_LONGEST = 40


def job_name(app: str, given: str, subject: str | None) -> str:
    """The name the user gave, or the app and what it works on, e.g. train-deepfm-movielens."""
    if given:
        return _label(given)
    stem = PurePosixPath(subject).stem if subject else ""
    return _label(f"{app}-{stem}" if stem else app)


def _label(text: str) -> str:
    label = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if not label or not label[0].isalpha():
        label = f"job-{label}".strip("-")
    return label[:_LONGEST].rstrip("-")

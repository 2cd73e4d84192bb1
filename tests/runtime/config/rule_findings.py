"""What each rule says about its sample; run as a program, writes that down anew beside the samples.

A sample holds just the fields that its rule looks at, so everything but the rule's own findings is left out.
"""

import logging
from pathlib import Path

from tzx.runtime.config.checks import RULES
from tzx.runtime.config.loading import draft_config, read_config
from tzx.runtime.config.problems import render_all

FOLDER = Path(__file__).with_name("rules")
SCREENS = sorted(Path(__file__).with_name("screens").glob("*.config"))


def findings(rule: str) -> str:
    """The findings of one rule about its sample, as the user sees them."""
    draft = read_config(str(FOLDER / f"{rule}.config"))
    found = [problem for problem in draft.report.errors + draft.warnings if problem.rule == rule]
    return "".join(problem.render().replace(f"{FOLDER}/", "") + "\n" for problem in found)


def screen(path: Path) -> str:
    """All errors of a whole config, as the user sees them."""
    report = draft_config(path.read_text(), path.name).report
    return render_all(report.errors, path.name) + "\n"


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for name in RULES:
        (FOLDER / f"{name}.txt").write_text(findings(name))
    for path in SCREENS:
        path.with_suffix(".txt").write_text(screen(path))
    logging.info("wrote findings for %d rules to %s", len(RULES), FOLDER)

"""The table of peers.py."""

import statistics
from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]
STEP_ONLY = ", step only"
_HEAD = (
    "case | library | samples/s | tzx is faster | tzx's step is faster | CPU ms a step | first step, s | peak MiB "
    "| test AUC | log loss"
)


def table(rows: Sequence[Row]) -> str:
    """Medians over windows and seeds, means and deviations of AUC over seeds."""
    lines = [f"| {_HEAD} |", "|" + "---|" * len(_HEAD.split(" | "))]
    for case in dict.fromkeys(row["case"] for row in rows):
        found = [row for row in rows if row["case"] == case]
        for library in sorted(found[0]["results"], key=lambda name: name.endswith(STEP_ONLY)):
            lines.append(_line(case, library, found))
    return "\n".join(lines)


def times_faster(rows: Sequence[Row], library: str) -> float:
    """How many times tzx's speed is the library's: the median over pairs of windows, without the first.

    What trains on batches that are ready in memory is compared with tzx doing so.
    """
    own = f"tzx{STEP_ONLY}" if library.endswith(STEP_ONLY) else "tzx"
    pairs = [(row["results"][library]["seconds"][1:], row["results"][own]["seconds"][1:]) for row in rows]
    return statistics.median(theirs / ours for them, us in pairs for theirs, ours in zip(them, us, strict=True))


def _line(case: str, library: str, rows: Sequence[Row]) -> str:
    results = [row["results"][library] for row in rows]
    steps = rows[0]["window"]
    seconds, cpu = ([value for r in results for value in r[key][1:]] for key in ("seconds", "cpu"))
    aucs = [r["auc"] for r in results]
    deviation = f" \u00b1 {statistics.stdev(aucs):.4f}" if len(aucs) > 1 else ""
    ratio = "" if library.partition(",")[0] == "tzx" else f"{times_faster(rows, library):.2f} x"
    cells = [
        case if library == "tzx" else "",
        library,
        f"{steps * rows[0]['batch'] / statistics.median(seconds):,.0f}",
        *(["", ratio] if library.endswith(STEP_ONLY) else [ratio, ""]),
        f"{1e3 * statistics.median(cpu) / steps:,.1f}",
        f"{statistics.median(r['first_step'] for r in results):.1f}",
        f"{statistics.median(r['peak_mib'] for r in results):,.0f}",
        f"{statistics.mean(aucs):.4f}{deviation}",
        f"{statistics.mean(r['log_loss'] for r in results):.4f}",
    ]
    return "| " + " | ".join(cells) + " |"

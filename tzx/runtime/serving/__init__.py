"""Floor 7: write bundles, and score rows with them.

`Predictor` must not drag in what only exporting needs (training code, torchrec), so both names load on first use.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tzx.runtime.serving.export import export_bundle
    from tzx.runtime.serving.predictor import Predictor

__all__ = ["Predictor", "export_bundle"]


def __getattr__(name: str) -> Any:
    if name == "Predictor":
        from tzx.runtime.serving.predictor import Predictor

        return Predictor
    if name == "export_bundle":
        from tzx.runtime.serving.export import export_bundle

        return export_bundle
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

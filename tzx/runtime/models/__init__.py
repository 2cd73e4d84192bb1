"""Models: what `model_config` names, built ready to train."""

from tzx.runtime.models.base import Model, MultiTaskModel, RankModel
from tzx.runtime.models.registry import available_models, build_model, register_model

__all__ = ["Model", "MultiTaskModel", "RankModel", "available_models", "build_model", "register_model"]

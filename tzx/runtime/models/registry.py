"""Which class stands behind each member of `ModelConfig.model`; a class is imported when first asked for."""

import importlib

from google.protobuf.message import Message

from tzx.runtime.config.catalog import CATALOG
from tzx.runtime.config.own_messages import inside, register_message, unknown_type
from tzx.runtime.config.problems import listing
from tzx.runtime.config.schema import is_any, type_name
from tzx.runtime.errors import ConfigError
from tzx.runtime.features import FeatureSet
from tzx.runtime.models.base import Model
from tzx.runtime.protos.model_pb2 import ModelConfig
from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig

_CLASSES: dict[str, str | type[Model]] = {
    name: f"tzx.runtime.models.{facts.module}:{name}" for name, facts in CATALOG.items()
}


def register_model(message: str | type[Message], cls: type[Model]) -> None:
    """Let `cls` be the model of a message type: one of tzx, whose model it replaces, or one of the user's own.

    Args:
        message: name of a message type of a member of `ModelConfig.model`, such as "DeepFM"; or a message class that
            protoc made, which configs then hold as `custom_model { [package.Message] { ... } }`.
        cls: a subclass of Model that takes (config, features).

    Raises:
        ConfigError: `cls` is no Model, or the message cannot stand in a config.
    """
    if not (isinstance(cls, type) and issubclass(cls, Model)):
        raise ConfigError(f"register_model: {cls!r} is not a subclass of tzx.runtime.models.Model")
    _CLASSES[message if isinstance(message, str) else register_message(message)] = cls


def available_models() -> list[str]:
    """Message type names that have a class, of the user's own ones full names, sorted."""
    return sorted(_CLASSES, key=str.casefold)


def model_class(name: str) -> type[Model]:
    """Class of the message type `name`; KeyError when there is none."""
    found = _CLASSES[name]
    if isinstance(found, str):
        module, _, attribute = found.partition(":")
        found = _CLASSES[name] = getattr(importlib.import_module(module), attribute)
    return found


def build_model(config: EasyRecConfig, features: FeatureSet) -> Model:
    """Build the model that `config.model_config` describes, on the CPU and unsharded.

    Args:
        config: a parsed config.
        features: the features made of its feature_configs.

    Raises:
        ConfigError: no model is set, it does not exist, or groups, dimensions, labels, losses or metrics do not fit.
    """
    field = config.model_config.WhichOneof("model")
    if field is None:
        members = [f.name for f in ModelConfig.DESCRIPTOR.oneofs_by_name["model"].fields]
        raise ConfigError(f"model_config sets no model; set one of {listing(members, len(members))}")
    message = inside(getattr(config.model_config, field))
    if is_any(message.DESCRIPTOR):
        raise ConfigError(f"model_config.{field}: {unknown_type(message.type_url)}")
    name = type_name(message.DESCRIPTOR)
    if name not in _CLASSES:
        raise ConfigError(
            f"model_config.{field}: model {name} is not available; available: {', '.join(available_models())}; "
            f"a class of your own joins through register_model({name!r}, cls) in a --user_module"
        )
    return model_class(name)(config, features)

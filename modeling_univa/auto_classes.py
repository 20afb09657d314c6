# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
transformers' auto classes know the networks of this package as soon as it is imported, and import them when asked.

`import modeling_univa` imports neither torch nor transformers, and yet `AutoModel.from_pretrained(folder)` has to find
our classes afterwards. Everything starts from two mappings of transformers: from a `model_type` to the class of a
configuration, and from a name to that of a processor. Stand-ins are put there, which import and register the real
classes when they are used. Putting a stand-in there imports nothing, so that it does not matter who imports
transformers first, nor in the middle of what.
"""

import sys
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any


__all__ = ["AnySystem", "announce_networks", "network_types"]

_MODELS = f"{__package__}.models"
_CONFIGURATIONS = "transformers.models.auto.configuration_auto"
_PROCESSORS = "transformers.models.auto.processing_auto"

# Files `models/modeling_NAME.py` are named after the `model_type` of their network, but for these.
_NAMED_OTHERWISE = {
    "affect_regressor": "univa_affect_regressor",
    "inception_resnet_v1": "inception-resnet-v1",
    "mini_xception": "mini-xception",
    "wav2vec2_affect": "wav2vec2-affect",
}
# What all systems share, and no network by itself.
_BASE = "emotion"


class AnySystem:
    """What the processor is registered for, beside the configurations, which may not be imported yet."""


class _StandIn:
    """A class that is imported where it is called, or asked for anything but its name."""

    def __init__(self, name: str, find: Callable[[], Any]):
        self.__name__ = name
        self._find = find

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._find()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._find(), name)


class _Watch(MetaPathFinder):
    """Does something after modules of others have been executed, whoever imports them."""

    def __init__(self, afterwards: Mapping[str, Callable[[Any], None]]):
        self._afterwards = dict(afterwards)

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """As whoever else finds the module, with something to do behind it."""
        afterwards = self._afterwards.pop(name, None)
        if afterwards is None:
            return None
        try:
            spec = find_spec(name)
        finally:
            self._afterwards[name] = afterwards
        if spec is not None and spec.loader is not None:
            spec.loader = _AndThen(spec.loader, afterwards)
        return spec


class _AndThen(Loader):
    def __init__(self, loader: Loader, afterwards: Callable[[Any], None]):
        self._loader = loader
        self._afterwards = afterwards

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._afterwards(module)


def announce_networks() -> None:
    """Put the stand-ins into the mappings of transformers, now or when these are imported."""
    afterwards = {_CONFIGURATIONS: _announce_configurations, _PROCESSORS: _announce_processor}
    sys.meta_path.insert(0, _Watch(afterwards))
    for name, announce in afterwards.items():
        if name in sys.modules:
            announce(import_module(name))


def network_types() -> list[str]:
    """The `model_type` of all networks of this package, without importing them."""
    files = sorted(Path(__file__).parent.glob("models/modeling_*.py"))
    names = [file.stem.removeprefix("modeling_") for file in files]
    return [_NAMED_OTHERWISE.get(name, name) for name in names if name != _BASE]


def _announce_configurations(module: Any) -> None:
    for name in network_types():
        if name not in module.CONFIG_MAPPING:
            module.CONFIG_MAPPING.register(name, _StandIn(name, partial(_configuration, module.CONFIG_MAPPING, name)))


def _announce_processor(module: Any) -> None:
    if AnySystem not in module.PROCESSOR_MAPPING:
        module.AutoProcessor.register(AnySystem, _StandIn("UnivaProcessor", _processor))


def _configuration(mapping: Any, name: str) -> Any:
    import_module(_MODELS)
    found = mapping[name]
    if isinstance(found, _StandIn):
        raise ImportError(f"modeling_{name}.py does not make {name!r} known: it needs a line in `systems.py`.")
    return found


def _processor() -> Any:
    return import_module(f"{_MODELS}.processing_univa").UnivaProcessor

# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""From arguments of the command line to extractors, face readers and models."""

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ..convert.networks import PACKAGED, packaged_network
from ..data.schema import FACE_EMOTIONS, CorpusError
from ..data.tables import read_text
from ..models.extractor_base_univa import Extractor
from ..models.extractors_univa import LIGHT_EXTRACTORS, PRETRAINED_EXTRACTORS, extractor_from_dict
from ..models.faces_univa import FaceReader


__all__ = ["extractor_from_argument", "face_reader_from_argument", "with_revision"]


def extractor_from_argument(
    modality: str, argument: str, device: str | None = None, dtype: str | None = None
) -> Extractor:
    """The extractor that an argument names.

    Args:
        modality: "text", "audio", "vision" or "face_emotions".
        argument: The name of a light extractor ("log-mel", "hog") or of a network that a Python package carries
            ("mini-xception"); settings as JSON, or a JSON file; or the Hub id or the path of a speech encoder, a face
            embedding network, a network that tells expressions or a file of word vectors.
        device, dtype: Where and in which precision a network runs.

    Raises:
        CorpusError: No such extractor, or one for another modality.
    """
    option = modality if modality == FACE_EMOTIONS else f"{modality}_extractor"
    try:
        extractor: Any = extractor_from_dict(_settings(modality, argument))
    except (TypeError, ValueError, OSError, ImportError) as error:
        raise CorpusError(f"`{option}` {argument}: {error}") from error
    kind: Any = type(extractor)
    if kind.modality != modality:
        made = "probabilities of expressions" if kind.modality == FACE_EMOTIONS else f"{kind.modality} features"
        raise CorpusError(f"`{option}` {argument}: {kind.extractor_type} makes {made}")
    known = {field.name for field in fields(kind)}
    given = {"device": device, "dtype": dtype}
    return replace(extractor, **{name: value for name, value in given.items() if value and name in known})


def _settings(modality: str, argument: str) -> dict[str, Any]:
    if argument in LIGHT_EXTRACTORS:
        return {"extractor_type": argument}
    if argument in PACKAGED:
        argument = packaged_network(argument)
    settings = _json_settings(argument)
    return settings or {"extractor_type": PRETRAINED_EXTRACTORS[modality].extractor_type, "model": argument}


def _json_settings(argument: str) -> dict[str, Any] | None:
    if not argument.endswith(".json") and not argument.lstrip().startswith("{"):
        return None
    try:
        settings = json.loads(read_text(Path(argument)) if argument.endswith(".json") else argument)
    except RecursionError as error:
        raise ValueError("expected a JSON object of settings, found one that is nested too deeply") from error
    if not isinstance(settings, dict):
        raise ValueError("expected a JSON object of settings")
    return settings


def face_reader_from_argument(argument: str) -> FaceReader:
    """The `FaceReader` of a detector's name, or of settings as JSON or a JSON file.

    Raises:
        CorpusError: No such detector or setting.
    """

    try:
        settings = _json_settings(argument) or {"detector": argument}
        return FaceReader.from_dict({"reader_type": FaceReader.reader_type, **settings})
    except (TypeError, ValueError, OSError) as error:
        raise CorpusError(f"`face_detector` {argument}: {error}") from error


def with_revision(name: str) -> tuple[str, str | None]:
    """Folder or Hub id, and the revision that may follow the id (`ID@REVISION`)."""
    if Path(name).exists():
        return name, None
    model, _, revision = name.partition("@")
    return model, revision or None

# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""A model trained on precomputed features gets the extractors that make them, so that it takes raw media."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from transformers import AutoFeatureExtractor, AutoModel
from transformers.utils import logging

from ..models.extractor_base_univa import Extractor, same_extractor
from ..models.extractors_univa import extractor_from_dict
from ..models.files_univa import LOCK_FILE, one_line, whole_folder
from ..models.processing_univa import PRECOMPUTED, UnivaProcessor
from ..models.trusted_paths_univa import (
    check_digest,
    check_inside,
    from_hub_cache,
    has_hub_form,
    network_files,
    without_places,
)
from ..models.word_vectors_univa import WordVectorExtractor


__all__ = ["complete_model", "embed_small_networks"]

logger = logging.get_logger(__name__)

# What tells where weights come from and what may be done with them goes with them.
_PAPERS = ("README*", "LICENSE*", "NOTICE*")


def complete_model(
    model: str,
    extractors: Mapping[str, Extractor],
    *,
    faces: Mapping[str, Any] | None = None,
    output: str | Path | None = None,
    revision: str | None = None,
    most_frequent_words: int | None = None,
) -> Path:
    """
    Name in a model's processor the extractors of its features, and copy those that are folders into the model's.

    What is on the Hub stays a name and a commit. Of word vectors the file is named with its checksum, or the most
    frequent words are copied.

    Args:
        model: Folder or Hub id of the model.
        extractors: By modality, the extractor (`feature_extraction_univa`, `pretrained_features_univa`).
        faces: Settings of the face reader, for a model that shall take videos (`FaceReader.to_dict()`).
        output: Folder to write; by default the model's own.
        revision: Branch, tag or commit of the model on the Hub.
        most_frequent_words: number of words of the file of word vectors that are copied.

    Returns:
        The completed folder.

    Raises:
        ValueError: There is no such model, it has no features of such a modality, they have another width or were
            made by another extractor, or `output` already exists.
    """
    source = _model_folder(model, revision)
    try:
        processor = UnivaProcessor.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise ValueError(f"{model} has no processor that can be loaded: {one_line(error)}") from error
    if not Path(model).is_dir() or from_hub_cache(model):
        processor.extractors = {name: without_places(settings) for name, settings in processor.extractors.items()}
    for modality, extractor in extractors.items():
        _check_fit(model, processor, modality, extractor)
    if output is None:
        if not Path(model).is_dir():
            raise ValueError(f"{model} is on the Hub: say with `output` in which folder to write the completed model")
        _complete(Path(model), processor, extractors, faces, most_frequent_words)
        return Path(model)
    target = Path(output)
    if target.exists():
        raise ValueError(f"{target} already exists: choose another `output`")
    with whole_folder(target) as folder:
        for path in source.rglob("*"):
            check_inside(source, path, f"{path} is a link that leads out of the model's folder: remove it")
        # Not the checkpoints of a training run.
        ignored = shutil.ignore_patterns("checkpoint-*", LOCK_FILE)
        shutil.copytree(source, folder, ignore=ignored, dirs_exist_ok=True)
        _complete(folder, processor, extractors, faces, most_frequent_words)
    return target


def embed_small_networks(folder: str | Path, processor: UnivaProcessor, max_bytes: int = 2**24) -> None:
    """
    Copy the feature networks that only this machine has, and that are small, into the folder of a model.

    Args:
        folder: Of the model; `processor` is saved there where something was copied, and then looks for it there.
        max_bytes: Networks whose files are larger together stay where they are, and so do those whose SHA-256 the
            settings do not tell: a corpus of someone else may name any folder, and the model will be shared.
    """
    small = {}
    for modality, settings in processor.extractors.items():
        place = Path(str(settings.get("model", "")))
        if not place.is_absolute() or not settings.get("sha256") or not place.is_dir():
            continue
        try:
            if sum(path.stat().st_size for path in network_files(place)) > max_bytes:
                continue
            check_digest(str(place), settings["sha256"])
        except (OSError, ValueError) as error:
            logger.warning(f"The {modality} extractor is not copied into {folder}: {error}")
            continue
        small[modality] = extractor_from_dict(settings)
    if small:
        _complete(Path(folder), processor, small, None, None)


def _model_folder(model: str, revision: str | None) -> Path:
    if Path(model).is_dir():
        return Path(model)
    if not has_hub_form(model):
        raise ValueError(f"{model} is neither a folder nor a model id such as ORG/NAME")
    try:
        return Path(snapshot_download(model, revision=revision, ignore_patterns="checkpoint-*"))
    except OSError as error:
        raise ValueError(f"{model} cannot be downloaded from the Hub: {one_line(error)}") from error


def _check_fit(model: str, processor: UnivaProcessor, modality: str, extractor: Extractor) -> None:
    name = getattr(extractor, "model", extractor.extractor_type)
    size = processor.extracted_sizes.get(modality)
    if size is None:
        raise ValueError(f"{model} takes no {modality} features, so that there is nothing for {name} to make")
    if extractor.feature_size != size:
        raise ValueError(
            f"{name} makes {modality} features of width {extractor.feature_size}, and {model} was trained on width "
            f"{size}: name the extractor that made its training features"
        )
    previous = processor.extractors.get(modality)
    if previous is None:
        return
    if previous["extractor_type"] != PRECOMPUTED:
        if not same_extractor(previous, extractor.to_dict()):
            raise ValueError(f"{model} was trained on {modality} features by {previous}, not by {extractor.to_dict()}")
    elif Path(str(previous.get("name"))).name not in str(name):
        logger.warning(
            f"{model} was trained on {modality} features by {previous.get('name')!r}; whether {name} makes the same "
            "cannot be told from their width."
        )


def _complete(
    folder: Path,
    processor: UnivaProcessor,
    extractors: Mapping[str, Extractor],
    faces: Mapping[str, Any] | None,
    most_frequent_words: int | None,
) -> None:
    for modality, extractor in extractors.items():
        previous = processor.extractors.get(modality, {})
        replaced = previous if previous.get("extractor_type") == PRECOMPUTED else previous.get("replaces")
        settings = _embed(folder, modality, extractor, most_frequent_words)
        processor.extractors[modality] = {**settings, **({"replaces": replaced} if replaced else {})}
    if faces is not None:
        processor.extractors["faces"] = _embed_detector(folder, dict(faces))
    processor._source = (str(folder), {})
    processor.save_pretrained(folder)


def _embed(folder: Path, modality: str, extractor: Any, most_frequent_words: int | None) -> dict[str, Any]:
    """Settings of the extractor after whatever is only on this machine has been copied to `extractors/{modality}`."""
    model = getattr(extractor, "model", None)
    if isinstance(extractor, WordVectorExtractor):
        if most_frequent_words is None:
            return extractor.to_dict()
        with whole_folder(folder / "extractors" / modality) as place:
            copy = extractor.write_most_frequent(place / "vectors.txt.gz", most_frequent_words)
        return {**copy.to_dict(), "model": f"./extractors/{modality}/vectors.txt.gz"}
    if model is None or not Path(model).is_dir():
        return extractor.to_dict()
    place = folder / "extractors" / modality
    if not (place.is_dir() and place.samefile(model)):
        with whole_folder(place) as new:
            _copy_network(Path(model), new)
        extractor = replace(extractor, model=str(place), sha256=None)
    return {**extractor.to_dict(), "model": f"./extractors/{modality}"}


def _copy_network(source: Path, target: Path) -> None:
    for pattern in _PAPERS:
        for path in source.glob(pattern):
            shutil.copy2(path, target)
    if any(source.glob("*.safetensors")):
        for path in network_files(source):
            shutil.copy2(path, target)
    else:
        AutoModel.from_pretrained(source, trust_remote_code=False).save_pretrained(target)
        AutoFeatureExtractor.from_pretrained(source, trust_remote_code=False).save_pretrained(target)


def _embed_detector(folder: Path, faces: dict[str, Any]) -> dict[str, Any]:
    model = faces.get("detector_model")
    if model is None or not Path(model).is_file():
        return faces
    with whole_folder(folder / "extractors" / "faces") as place:
        shutil.copy2(model, place)
    return {**faces, "detector_model": f"./extractors/faces/{Path(model).name}"}

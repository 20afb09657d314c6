# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""The list of extractors, and what tells that two of them are the same."""

import pytest

from modeling_univa.models.configuration_emotion import MODALITIES
from modeling_univa.models.extractor_base_univa import extractor_identity, same_extractor
from modeling_univa.models.extractors_univa import (
    EXTRACTORS,
    LIGHT_EXTRACTORS,
    PRETRAINED_EXTRACTORS,
    extractor_from_dict,
)


NETWORK = {"extractor_type": "face-embedding", "model": "/here/network", "sha256": "0" * 64, "feature_size": 512}


def test_every_kind_says_what_it_is_for():
    columns = {*MODALITIES, "face_emotions"}
    assert all(kind.extractor_type == name and kind.modality in columns for name, kind in EXTRACTORS.items())
    assert {modality: kind.extractor_type for modality, kind in PRETRAINED_EXTRACTORS.items()} == {
        "audio": "speech-encoder", "vision": "face-embedding", "text": "word-vectors",
        "face_emotions": "face-expression",
    }  # fmt: skip


@pytest.mark.parametrize("name", LIGHT_EXTRACTORS)
def test_light_ones_are_made_by_their_name_and_come_back_from_what_they_save(name):
    extractor = extractor_from_dict({"extractor_type": name})
    assert extractor_from_dict(extractor.to_dict()) == extractor == LIGHT_EXTRACTORS[name]()
    assert extractor.feature_size > 0


def test_place_of_what_has_a_checksum_does_not_matter():
    other = {**NETWORK, "model": "/there/network"}
    assert same_extractor(NETWORK, other) and extractor_identity(NETWORK) == extractor_identity(other)
    assert not same_extractor(NETWORK, {**other, "sha256": "1" * 64})
    nameless = {**NETWORK, "sha256": None}
    assert not same_extractor(nameless, {**nameless, "model": "/there/network"})
    assert same_extractor({**NETWORK, "detector_sha256": None}, NETWORK)
    precomputed = {"extractor_type": "precomputed", "name": "openface.csv"}
    assert same_extractor({**NETWORK, "replaces": precomputed}, precomputed)

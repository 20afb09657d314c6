# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Licences of the weights of others."""

from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.repocard import metadata_load

from ..models.trusted_paths_univa import is_hub_id


__all__ = ["license_of"]


def license_of(name: str, revision: str | None = None) -> str | None:
    """The licence on the card of a model folder or Hub id, `None` where there is none or it cannot be read."""
    try:
        if Path(name).is_dir():
            content = metadata_load(Path(name, "README.md")) or {}
        elif is_hub_id(name):
            content = metadata_load(hf_hub_download(name, "README.md", revision=revision)) or {}
        else:
            return None
    # No card, no network, no such repository, metadata that are not YAML: then nothing is known.
    except Exception:
        return None
    license = content.get("license_name") or content.get("license")
    return license if isinstance(license, str) else None

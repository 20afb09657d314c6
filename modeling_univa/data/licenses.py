# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Licences of the weights of others."""

import re
from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.repocard import metadata_load


__all__ = ["is_hub_id", "license_of"]


def is_hub_id(name: str) -> bool:
    """Whether a name can only be that of a repository on the Hub."""
    return re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) is not None and not Path(name).exists()


def license_of(name: str, revision: str | None = None) -> str | None:
    """The licence on the card of a model folder or Hub id, `None` where there is none or it cannot be read."""
    try:
        if Path(name).is_dir():
            content = metadata_load(Path(name, "README.md")) or {}
        elif "/" in name and is_hub_id(name):
            content = metadata_load(hf_hub_download(name, "README.md", revision=revision)) or {}
        else:
            return None
    # No card, no network, no such repository, metadata that are no YAML: then nothing is known.
    except Exception:
        return None
    license = content.get("license_name") or content.get("license")
    return license if isinstance(license, str) else None

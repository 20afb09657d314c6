# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""
What travels with weights: systems, their processor and pipeline, and whatever reads media and makes features.

Where a module of this room is imported, transformers' auto classes know all of its networks.
"""

from transformers import AutoProcessor

from ..auto_classes import AnySystem
from .processing_univa import UnivaProcessor
from .systems import register_networks


register_networks()
AutoProcessor.register(AnySystem, UnivaProcessor, exist_ok=True)

# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Official checkpoints of the systems that are compared, by the name of the system."""

from .carat import CARAT
from .facialmmt import FACIALMMT
from .hhmpn import HHMPN
from .lddu import LDDU
from .mult import MULT
from .official import OfficialCheckpoint
from .robmmr import ROBMMR
from .tailor import TAILOR


__all__ = ["OFFICIAL"]

OFFICIAL: dict[str, OfficialCheckpoint] = {
    "carat": CARAT,
    "facialmmt": FACIALMMT,
    "hhmpn": HHMPN,
    "lddu": LDDU,
    "mult": MULT,
    "robmmr": ROBMMR,
    "tailor": TAILOR,
}

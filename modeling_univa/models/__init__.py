# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""What travels with weights: systems, their processor and pipeline, and whatever reads media and makes features."""

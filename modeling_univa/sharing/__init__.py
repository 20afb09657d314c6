# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""From a folder to the Hub: cards, checks, pushes, adapters."""

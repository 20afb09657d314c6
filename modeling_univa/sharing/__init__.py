# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""From a folder to the Hub: cards, checks, pushes, adapters."""

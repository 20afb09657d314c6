# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Training and evaluation of a system on a corpus."""

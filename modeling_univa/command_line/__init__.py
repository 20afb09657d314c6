# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""One file a sub-command: its options. They import nothing heavy, so that help and mistakes are told at once."""

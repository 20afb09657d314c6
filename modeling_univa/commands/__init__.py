# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""One file a sub-command: its call. Its options are in `command_line`."""

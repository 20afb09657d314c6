# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""From the files of a corpus to its rows."""

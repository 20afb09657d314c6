# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""From the rows of a corpus to batches."""

# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""From the rows of a corpus to batches."""

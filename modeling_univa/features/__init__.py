# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Long jobs over a corpus, shard by shard: features out of raw media."""

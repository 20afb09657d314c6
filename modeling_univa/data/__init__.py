# Copyright 2026 The UniVA authors.
# SPDX-License-Identifier: Apache-2.0
"""Corpora of utterances: from files to rows."""

# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""From raw media to the feature and VA columns of a whole corpus."""

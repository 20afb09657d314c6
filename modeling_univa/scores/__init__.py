# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""From predictions to numbers and tables."""

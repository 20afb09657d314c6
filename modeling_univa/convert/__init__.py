# Copyright 2026 The univa maintainers.
# SPDX-License-Identifier: Apache-2.0
"""Published checkpoints as folders that from_pretrained loads."""

"""Peers that misbehave are those of the federation's own tests."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "orgnode" / "federation"))

"""The ways to lie, by name: each changes some of what an honest node says and does.

A liar knows the protocol and has its keys, so everything it sends is well formed unless it chooses
otherwise. See `orgnode.testing.byzantine` for how a conduct is applied.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Final

from orgnode.testing.conduct import Conduct
from orgnode.testing.conducts_content import Boasts, Forges, Withholds
from orgnode.testing.conducts_words import CosignsAnything, Floods, Frames, Replays

if TYPE_CHECKING:
    from orgnode.testing.byzantine import Liar

EQUIVOCATES: Final = "equivocates"
FORGES: Final = "forges"
BOASTS: Final = "boasts"
WITHHOLDS: Final = "withholds"
FLOODS: Final = "floods"
COSIGNS_ANYTHING: Final = "cosigns anything"
REPLAYS: Final = "replays"
FRAMES: Final = "frames"

MAKERS: Final[dict[str, Callable[[Liar, Random], Conduct]]] = {
    FORGES: Forges,
    BOASTS: Boasts,
    WITHHOLDS: Withholds,
    FLOODS: Floods,
    COSIGNS_ANYTHING: CosignsAnything,
    REPLAYS: Replays,
    FRAMES: Frames,
    EQUIVOCATES: Conduct,
}

CONDUCTS: Final = (
    EQUIVOCATES,
    EQUIVOCATES,
    EQUIVOCATES,
    FORGES,
    FORGES,
    BOASTS,
    WITHHOLDS,
    WITHHOLDS,
    FLOODS,
    COSIGNS_ANYTHING,
    COSIGNS_ANYTHING,
    REPLAYS,
    FRAMES,
)
"""Every way to lie, the more dangerous ones more often."""

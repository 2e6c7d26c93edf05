"""Where the simulator's chance comes from: one seed, so that one run replays exactly.

Two kinds are needed. A generator serves what follows the order of events (gaps between order numbers). A draw
by label serves what must not depend on the order of events: two clients that send the same keys meet the same
faults.
"""

from __future__ import annotations

import hashlib
from random import Random  # noqa: TID251 - the one generator of a simulation, seeded
from typing import Final, TypeAlias

Generator: TypeAlias = Random
"""The type of the generator, so that no other module imports `random`."""

_SCALE: Final = float(1 << 64)


def seeded(seed: int) -> Generator:
    """Make the one generator of a simulator."""
    return Random(seed)  # noqa: S311 - a replayable game, not a secret


def drawn(*labels: object) -> float:
    """Draw a number in [0, 1) that depends on the labels alone."""
    text = "\x1f".join(str(label) for label in labels)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") / _SCALE


def digits(count: int, *labels: object) -> str:
    """Draw a text of decimal digits that depends on the labels alone."""
    return str(int(drawn("digits", *labels) * 10**count)).zfill(count)

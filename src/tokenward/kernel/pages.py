"""Long lists are read in pages, oldest first: a guard that is asked for everything still answers
its callers in between."""

from typing import Final

PAGE_MAX: Final = 1000

Seen = tuple[int, str]
"""Where a page ended: the moment (Unix ms) its last one came into being, and that one's id."""

BEGINNING: Final[Seen] = (-1, "")
"""Nothing was seen yet."""

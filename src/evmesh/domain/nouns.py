"""Nouns beside numbers, in words for people."""


def noun(count: int, one: str, many: str = "") -> str:
    """Give the noun that goes with a count: `one` for 1, else `many`, which without a word is one + s."""
    return one if count == 1 else many or f"{one}s"


def counted(count: int, one: str, many: str = "") -> str:
    """Give a count with its noun: `1 step`, `2 steps`."""
    return f"{count} {noun(count, one, many)}"


def leaves(count: int) -> str:
    """Give the size of a tree: `1 leaf`, `2 leaves`."""
    return counted(count, "leaf", "leaves")

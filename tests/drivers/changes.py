"""Reads `changes` events as a page does, from the words of `app/changes.py` alone."""

from typing import Any


def changed(old: Any, change: Any) -> Any:
    """Give the document that a change makes of the old one."""
    if isinstance(old, dict) and isinstance(change, dict):
        return old | {name: changed(old.get(name), part) for name, part in change.items()}
    if isinstance(old, list) and isinstance(change, dict):
        kept = old[: len(old) - change.get("drop", 0)]
        at = change.get("at", {})
        patched = [
            changed(item, at[str(place)]) if str(place) in at else item for place, item in enumerate(kept)
        ]
        return [*change.get("first", []), *patched, *change.get("last", [])]
    return change

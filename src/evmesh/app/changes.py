"""What differs between two JSON documents, in a form that is small enough to send to a phone each second.

    the old value     a change                     gives
    an object         an object                    the old one with the members that it names changed in turn
    a list            an object {"drop": n,        the old one without its last n items, each item at a
                      "at": {"3": change, …},      position changed in turn, `first` put before all and
                      "first": […], "last": […]}   `last` after all; what is left out changes nothing
    anything          anything else                what the change says

So only an object in place of an object, or of a list, is more than the new value itself. A member that
the new document lacks becomes null. `web/kit/changes.ts` reads it.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

_SAME: Final = object()
_NAMES: Final = ("id", "number", "tx_hash", "code")
"""What an item of a list is known by, where it has such a member; others by their place."""


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Give the change that makes `new` of `old`; empty where they are equal."""
    found = {
        name: _change(old.get(name), new.get(name)) for name in (*old, *(n for n in new if n not in old))
    }
    return {name: change for name, change in found.items() if change is not _SAME}


def written(value: Any) -> str:
    """Write JSON without spaces."""
    return json.dumps(value, separators=(",", ":"))


def _change(old: Any, new: Any) -> Any:
    if old == new and type(old) is type(new):
        return _SAME
    if isinstance(old, dict) and isinstance(new, dict):
        return changes(old, new)
    if isinstance(old, list) and isinstance(new, list):
        change = _list_change(old, new)
        return new if len(written(change)) >= len(written(new)) else change
    return new


def _list_change(old: Sequence[Any], new: Sequence[Any]) -> dict[str, Any]:
    first = _put_before(old, new)
    kept = min(len(old), len(new) - first)
    found = {
        str(place): part
        for place in range(kept)
        if (part := _change(old[place], new[first + place])) is not _SAME
    }
    change: dict[str, Any] = {
        "drop": len(old) - kept,
        "at": found,
        "first": new[:first],
        "last": new[first + kept :],
    }
    return {name: part for name, part in change.items() if part}


def _put_before(old: Sequence[Any], new: Sequence[Any]) -> int:
    """Give how many items of `new` come before the one that was first."""
    if not old:
        return 0
    return next((place for place, item in enumerate(new) if _name(item) == _name(old[0])), 0)


def _name(item: Any) -> Any:
    if not isinstance(item, dict):
        return None
    return next((item[name] for name in _NAMES if name in item), None)

"""Groups of charge points, nested like their cables: a cabinet hangs on a feeder, that on a transformer.

Energy may flow through a group's cable in both directions: down to what hangs below it, and up where
local supply, a battery or a car has more than the group takes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from evmesh.domain.canonical import MAX_DOCUMENT_INT
from evmesh.domain.errors import InvalidInput
from evmesh.domain.problem import MAX_ID_LENGTH

MAX_CELLS = 1_000_000
"""Groups × steps of a problem; it bounds the memory that a hostile file can ask for."""


@dataclass(frozen=True, slots=True)
class Group:
    """One cable and what hangs on it; the group without a parent hangs on the grid.

    `capacity_wh` [step] is the most that its cable carries in a step, in either direction. `other_wh`
    [step] is what other equipment takes directly on this group (negative: gives), whatever is planned:
    it uses the group's cable and every cable above it.
    """

    id: str
    parent: str | None
    capacity_wh: tuple[int, ...]
    other_wh: tuple[int, ...]

    def __post_init__(self) -> None:
        check_id(self.id, "id")
        if self.parent is not None:
            check_id(self.parent, "parent")
        check_vector(self.capacity_wh, 0, "capacity_wh")
        check_vector(self.other_wh, -MAX_DOCUMENT_INT, "other_wh")


@dataclass(frozen=True, slots=True)
class GroupTree:
    """Groups that make one tree. Groups are known by their place in `groups`.

    `parents` [group] is the place of the parent, None for the root; `downwards` names every group
    after its parent.
    """

    groups: tuple[Group, ...]
    parents: tuple[int | None, ...]
    downwards: tuple[int, ...]
    place: dict[str, int]

    @classmethod
    def of(cls, groups: Sequence[Group], steps: int) -> "GroupTree":
        """Join the groups; raises InvalidInput with the path of the field, as in `groups[2].parent`."""
        if len(groups) * steps > MAX_CELLS:
            what = f"{len(groups)} groups × {steps} steps are more than {MAX_CELLS}"
            raise InvalidInput("problem.too_large", what, path="groups")
        place = _places(groups)
        for number, group in enumerate(groups):
            for name, vector in (("capacity_wh", group.capacity_wh), ("other_wh", group.other_wh)):
                if len(vector) != steps:
                    what = f"{len(vector)} values for {steps} steps"
                    raise InvalidInput("problem.step_count", what, path=f"groups[{number}].{name}")
        parents = _parents(groups, place)
        _check_total(groups, steps)
        return cls(tuple(groups), parents, _downwards(parents), place)

    def leaves(self) -> set[int]:
        """Give the groups that have no group below them."""
        return set(range(len(self.groups))) - {parent for parent in self.parents if parent is not None}

    def sums_below(self, own: Sequence[Sequence[int]]) -> list[list[int]]:
        """Add up each group's own values and those of all groups below it. Shape: [group][step]."""
        sums = [list(values) for values in own]
        for number in reversed(self.downwards):
            parent = self.parents[number]
            if parent is not None:
                sums[parent] = [one + more for one, more in zip(sums[parent], sums[number], strict=True)]
        return sums

    def other_below(self) -> list[list[int]]:
        """Give what other equipment takes of each group's cable. Shape: [group][step]."""
        return self.sums_below([group.other_wh for group in self.groups])


def check_id(value: str, path: str) -> None:
    """Raise InvalidInput unless the id has 1 to 128 printable characters."""
    if type(value) is not str or not 1 <= len(value) <= MAX_ID_LENGTH or not value.isprintable():
        what = f"an id has 1 to {MAX_ID_LENGTH} printable characters"
        raise InvalidInput("problem.bad_id", what, path=path)


def check_range(value: int, least: int, path: str, most: int = MAX_DOCUMENT_INT) -> None:
    """Raise InvalidInput unless the value is an integer from `least` to `most`."""
    if type(value) is not int:
        raise InvalidInput("document.bad_type", f"an integer must stand here, not {value!r}", path=path)
    if not least <= value <= most:
        raise InvalidInput("problem.out_of_range", f"{value} is not {least} to {most}", path=path)


def check_vector(values: tuple[int, ...], least: int, path: str) -> None:
    """Raise InvalidInput unless each value is an integer from `least` on."""
    for position, value in enumerate(values):
        check_range(value, least, f"{path}[{position}]")


def _check_total(groups: Sequence[Group], steps: int) -> None:
    """Refuse what other equipment could not take, so that no sum along a path is too large a number."""
    for step in range(steps):
        total = sum(abs(group.other_wh[step]) for group in groups)
        if total > MAX_DOCUMENT_INT:
            what = f"other_wh of all groups add up to {total} in step {step}"
            raise InvalidInput("problem.out_of_range", what, path="groups")


def _places(groups: Sequence[Group]) -> dict[str, int]:
    place: dict[str, int] = {}
    for number, group in enumerate(groups):
        if group.id in place:
            what = f"the id {group.id!r} stands twice"
            raise InvalidInput("problem.duplicate_id", what, path=f"groups[{number}].id")
        place[group.id] = number
    return place


def _parents(groups: Sequence[Group], place: dict[str, int]) -> tuple[int | None, ...]:
    parents: list[int | None] = []
    root: str | None = None
    for number, group in enumerate(groups):
        path = f"groups[{number}].parent"
        if group.parent is None:
            if root is not None:
                what = f"{root!r} and {group.id!r} both have no parent"
                raise InvalidInput(
                    "problem.two_roots",
                    what,
                    do="one group hangs on the grid, every other on a group",
                    path=path,
                )
            root = group.id
            parents.append(None)
        elif group.parent not in place:
            raise InvalidInput("problem.unknown_group", f"there is no group {group.parent!r}", path=path)
        else:
            parents.append(place[group.parent])
    if not groups:
        raise InvalidInput("problem.no_root", "there is no group", path="groups")
    return tuple(parents)


def _downwards(parents: Sequence[int | None]) -> tuple[int, ...]:
    below: list[list[int]] = [[] for _ in parents]
    found: list[int] = []
    for number, parent in enumerate(parents):
        if parent is None:
            found.append(number)
        else:
            below[parent].append(number)
    for number in found:  # grows while we walk
        found.extend(below[number])
    if len(found) < len(parents):
        number = min(set(range(len(parents))) - set(found))
        what = "following the parents from here never leads to the grid"
        raise InvalidInput("problem.cycle", what, path=f"groups[{number}].parent")
    return tuple(found)

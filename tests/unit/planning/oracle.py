"""An independent answer to planning problems: minimum-cost flow by successive shortest paths.

It shares nothing with `evmesh.planning`: an arc list, Bellman-Ford, one path at a time. Slow, and
easy to believe.
"""

from dataclasses import dataclass

from evmesh.domain.problem import Problem


@dataclass
class Arc:
    """A residual arc; its twin is at index ^ 1."""

    head: int
    room: int
    cost: int


def cheapest_flow(problem: Problem) -> tuple[int, int]:
    """Give (Wh that can be delivered at most, cost of delivering that much)."""
    requests, steps = len(problem.requests), problem.steps
    source, sink = requests + steps, requests + steps + 1
    arcs: list[Arc] = []
    leaving: list[list[int]] = [[] for _ in range(sink + 1)]

    def connect(tail: int, head: int, room: int, cost: int) -> None:
        leaving[tail].append(len(arcs))
        arcs.append(Arc(head, room, cost))
        leaving[head].append(len(arcs))
        arcs.append(Arc(tail, 0, -cost))

    for number, request in enumerate(problem.requests):
        connect(source, number, request.energy_wh, 0)
        for step in range(request.arrival, request.departure):
            connect(number, requests + step, request.max_wh, 0)
    for segment in problem.supply:
        connect(requests + segment.step, sink, segment.cap_wh, segment.price)

    flow = cost = 0
    while (path := _cheapest_path(arcs, leaving, source, sink)) is not None:
        moved = min(arcs[arc].room for arc in path)
        for arc in path:
            arcs[arc].room -= moved
            arcs[arc ^ 1].room += moved
            cost += moved * arcs[arc].cost
        flow += moved
    return flow, cost


def _cheapest_path(arcs: list[Arc], leaving: list[list[int]], source: int, sink: int) -> list[int] | None:
    distance: list[int | None] = [None] * len(leaving)
    came_by = [-1] * len(leaving)
    distance[source] = 0
    queue = [source]
    while queue:
        tail = queue.pop(0)
        base = distance[tail]
        assert base is not None
        for number in leaving[tail]:
            arc = arcs[number]
            known = distance[arc.head]
            if arc.room and (known is None or base + arc.cost < known):
                distance[arc.head] = base + arc.cost
                came_by[arc.head] = number
                if arc.head not in queue:
                    queue.append(arc.head)
    if distance[sink] is None:
        return None
    path, node = [], sink
    while node != source:
        path.append(came_by[node])
        node = arcs[came_by[node] ^ 1].head
    return path


def is_feasible(problem: Problem) -> bool:
    """Tell whether every request can be served in full."""
    return cheapest_flow(problem)[0] == sum(request.energy_wh for request in problem.requests)


def cost_of_loads(problem: Problem, load_wh: list[int]) -> int | None:
    """Give the least cost of these loads [step]; None where a step is over its supply."""
    total = 0
    for step, load in enumerate(load_wh):
        left = load
        for price, cap in sorted((one.price, one.cap_wh) for one in problem.supply if one.step == step):
            total += min(left, cap) * price
            left -= min(left, cap)
        if left:
            return None
    return total

"""Say yes or no to one more car, without breaking a promise to any other.

A request is accepted if and only if everything accepted before stays feasible with it. A no comes
with its certificate, and with the nearest wishes that would have been a yes.
"""

from dataclasses import dataclass, replace

from evmesh.domain.problem import Problem, Request
from evmesh.domain.problem_shape import TreeShape
from evmesh.domain.schedule import Offer, Refusal, Schedule
from evmesh.domain.units import Wh
from evmesh.planning.arrays import ProblemArrays, to_arrays
from evmesh.planning.optimiser import beyond_own_window_wh, fill, solve
from evmesh.planning.shaped import shaped_offers, solve_shaped


@dataclass(frozen=True, slots=True)
class Accepted:
    """Everybody is served in full; `problem` holds the candidate last, `schedule` proves the plan."""

    problem: Problem
    schedule: Schedule


@dataclass(frozen=True, slots=True)
class RefusedRequest:
    """The candidate does not fit; `certificate` proves it for `problem`, which holds it last."""

    problem: Problem
    certificate: Refusal

    @property
    def offers(self) -> tuple[Offer, ...]:
        """What would be accepted: most energy by that departure, earliest departure for that energy."""
        return self.certificate.offers or ()


@dataclass(frozen=True, slots=True)
class OfferProof:
    """An offer's own proof: a schedule for it, and the refusal of 1 Wh more or of one step earlier.

    Each stands for the problem beside it, since a certificate is bound to its problem's bytes.
    """

    accepted: Accepted
    next_best: RefusedRequest


def admit(problem_without: Problem, candidate: Request) -> Accepted | RefusedRequest:
    """Decide about `candidate`, where `problem_without` holds all that was accepted before.

    Raises InvalidInput where the candidate's id is taken or its window leaves the horizon.
    """
    problem = problem_without.with_requests([*problem_without.requests, candidate])
    answer = solve(problem)
    if isinstance(answer, Schedule):
        return Accepted(problem, answer)
    if isinstance(problem.shape, TreeShape):
        offers = shaped_offers(problem_without, problem.shape, candidate)
        refused = solve_shaped(problem, problem.shape, offers=offers)
        if not isinstance(refused, Refusal):
            raise AssertionError("what was refused is refused again")
        return RefusedRequest(problem, refused)
    return RefusedRequest(problem, replace(answer, offers=find_offers(problem_without, candidate)))


def as_soon_as_possible(problem: Problem, answer: Accepted, pseudonym: str) -> Accepted:
    """Give an opt-out driver no freedom: the shortest window that the others leave."""
    request = answer.problem.request(pseudonym)
    steps = max(1, -(-request.energy_wh // request.max_wh)) if request.max_wh else request.window_steps
    for departure in range(request.arrival + steps, request.departure):
        sooner = admit(problem, replace(request, departure=departure))
        if isinstance(sooner, Accepted):
            return sooner
    return answer


def solve_with_candidate(problem: Problem, candidate_id: str, *, sha256: str) -> Schedule | Refusal:
    """Solve a problem that holds the candidate already; a refusal carries its offers.

    Raises InvalidInput `problem.unknown_id`.
    """
    candidate = problem.request(candidate_id)
    answer = solve(problem, sha256=sha256)
    if isinstance(answer, Schedule):
        return answer
    return replace(answer, offers=find_offers(problem.without(candidate_id), candidate))


def find_offers(problem_without: Problem, candidate: Request) -> tuple[Offer, ...]:
    """Give a refused candidate the nearest wishes that fit; none where nothing at all fits.

    Most energy by that departure comes first, then the earliest departure for that energy, which
    looks no further than the problem's horizon: beyond it no supply is known.
    """
    others = to_arrays(problem_without)
    if not _fits(others):
        return ()
    arrays = to_arrays(problem_without.with_requests([*problem_without.requests, candidate]))
    place = arrays.order.tolist().index(len(problem_without.requests))
    offers = []
    energy_wh = _most_energy_wh(arrays, place)
    if energy_wh:
        offers.append(Offer(departure=candidate.departure, energy_wh=energy_wh))
    departure = _earliest_departure(arrays, place)
    if departure is not None:
        offers.append(Offer(departure=departure, energy_wh=candidate.energy_wh))
    return tuple(offers)


def prove_offer(problem_without: Problem, candidate: Request, offer: Offer) -> OfferProof | None:
    """Give the offer's schedule and the refusal of the next better wish; None if it is not the best.

    The next better wish is one step earlier where the offer moves the departure, else 1 Wh more.
    """
    accepted = admit(problem_without, _as_offered(candidate, offer))
    if offer.departure > candidate.departure:
        better = replace(offer, departure=offer.departure - 1)
    else:
        better = replace(offer, energy_wh=Wh(offer.energy_wh + 1))
    refused = admit(problem_without, _as_offered(candidate, better))
    if isinstance(accepted, Accepted) and isinstance(refused, RefusedRequest):
        return OfferProof(accepted, refused)
    return None


def _as_offered(candidate: Request, offer: Offer) -> Request:
    return replace(candidate, departure=offer.departure, energy_wh=offer.energy_wh)


def _most_energy_wh(arrays: ProblemArrays, place: int) -> Wh:
    """Give what is left for the candidate by its own departure, at most what it asked for.

    The others can always have theirs first: a flow that serves them can be grown to the greatest
    one without taking anything back from their sources. So the candidate's part is the rest.
    """
    window_wh = int(arrays.max_wh[place]) * int(arrays.departure[place] - arrays.arrival[place])
    energies = arrays.energy_wh.copy()
    energies[place] = asked_wh = min(int(energies[place]), window_wh)  # for more there is no use in searching
    missing_wh = sum(fill(replace(arrays, energy_wh=energies)).missing_wh.tolist())
    return Wh(asked_wh - missing_wh)


def _earliest_departure(arrays: ProblemArrays, place: int) -> int | None:
    """Search by halves: a later departure never makes a request harder to serve."""

    def fits(departure: int) -> bool:
        departures = arrays.departure.copy()
        departures[place] = departure
        return _fits(replace(arrays, departure=departures))

    too_early, enough = int(arrays.departure[place]), arrays.steps
    if too_early >= enough or not fits(enough):
        return None
    while enough - too_early > 1:
        middle = (too_early + enough) // 2
        if fits(middle):
            enough = middle
        else:
            too_early = middle
    return enough


def _fits(arrays: ProblemArrays) -> bool:
    return not beyond_own_window_wh(arrays) and not fill(arrays).cut.size

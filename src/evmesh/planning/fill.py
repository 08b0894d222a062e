"""What the greedy gives back, whichever of its two forms ran."""

from dataclasses import dataclass

from evmesh.planning.arrays import Int64


@dataclass(frozen=True, slots=True)
class Fill:
    """The energy that found a place, and what the certificate needs to know of it.

    `x_wh` [cell] is the energy of each request in each step of its window, one window after the
    other; `used_wh` [segment] what each segment gives; `objective` Σ used × price, undivided.

    `step_price` [step] is λ: the price at which a step froze, or that of the last segment that was
    opened; an idle step has that of its own next Wh. The first would do as a certificate for idle
    steps too, but says less: what a Wh would have cost there is what the flexibility reward needs.

    `missing_wh` [request] is the energy without a place. Where anything is missing, `cut` holds the
    steps that it cannot avoid, ascending: the smallest set whose supply is too small.
    """

    x_wh: Int64
    used_wh: Int64
    step_price: Int64
    missing_wh: Int64
    cut: Int64
    objective: int

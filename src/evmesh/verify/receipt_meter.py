"""What the meter said: signed, chained, anchored, and adding up to the energy that is billed."""

from evmesh.domain.errors import EvmeshError, InvalidInput
from evmesh.domain.nouns import counted, leaves
from evmesh.domain.readings import METER_STREAM, NO_LEAF, Reading, ReadingContext, meter_leaf_hash
from evmesh.domain.receipt_parts import MeterEntry
from evmesh.domain.strict import unix_seconds
from evmesh.verify.case import Case
from evmesh.verify.merkle import root_from_inclusion_proof
from evmesh.verify.receipt_terms import NO_READINGS
from evmesh.verify.report import Finding, require


def readings(case: Case) -> Finding:
    """Check that both readings are signed by the meter key, and are of this session, meter and EVSE."""
    receipt = case.receipt
    for name, entry, context in (
        ("start", receipt.start, ReadingContext.START),
        ("stop", receipt.stop, ReadingContext.STOP),
    ):
        path = f"{name}.payload"
        try:
            reading = Reading.parse(entry.payload)
        except InvalidInput as error:
            error.path = f"{path}: {error.path}" if error.path else path
            raise
        key = receipt.meter_key.address
        require(reading.signer == key, "reading.other_signer", f"the reading names {reading.signer}", path)
        case.require_signer(key, reading.to_sign(), reading.signature, path)
        require(reading.meter == entry.meter, "reading.other_meter", f"meter {reading.meter}", path)
        require(reading.seq == entry.seq, "reading.other_seq", f"reading {reading.seq}", path)
        require(reading.context is context, "reading.other_context", f"a {reading.context} reading", path)
        require(reading.session == receipt.session, "reading.other_session", "of another session", path)
        require(
            entry.meter == receipt.station.evse_id.text,
            "reading.other_station",
            f"the meter of {receipt.station.evse_id} has its name, this one is {entry.meter}",
            f"{name}.meter",
        )
    return f"both are signed by the {receipt.meter_key.kind}'s key {receipt.meter_key.address}"


def meter_chain(case: Case) -> Finding:
    """Check that the stop follows the start on one meter, whose register did not go back."""
    first, last = case.receipt.start, case.receipt.stop
    require(first.meter == last.meter, "meter.other_meter", "start and stop are of two meters", "stop.meter")
    require(last.seq > first.seq, "meter.out_of_order", "the stop does not follow the start", "stop.seq")
    require(
        last.index > first.index, "meter.out_of_order", "the stop was filed before the start", "stop.index"
    )
    for name, entry in (("start", first), ("stop", last)):
        require(
            (entry.seq == 1) == (entry.prev_hash == NO_LEAF),
            "meter.broken_chain",
            "a meter's first reading, and no other, follows none",
            f"{name}.prev_hash",
        )
    if last.seq == first.seq + 1:
        require(
            last.prev_hash == _leaf_of(first),
            "meter.broken_chain",
            "it does not follow the start",
            "stop.prev_hash",
        )
    if case.start is None or case.stop is None:
        return NO_READINGS
    require(case.stop.at >= case.start.at, "meter.out_of_order", "it stopped before it began", "stop.payload")
    require(
        case.stop.register >= case.start.register,
        "meter.register_went_back",
        f"{case.stop.register} Wh after {case.start.register} Wh",
        "stop.payload",
    )
    return f"readings {first.seq} and {last.seq} of meter {first.meter} follow each other"


def inclusion(case: Case) -> Finding:
    """Check that both leaves are in the tree, and that it is the one of the meter stream."""
    tree = case.receipt.tree
    require(tree.stream == METER_STREAM, "merkle.other_stream", "not the meter stream", "tree.stream")
    for name, entry in (("start", case.receipt.start), ("stop", case.receipt.stop)):
        path = f"{name}.proof"
        try:
            root = root_from_inclusion_proof(_leaf_of(entry), entry.index, tree.size, entry.proof)
        except EvmeshError as error:
            error.path = path
            raise
        require(root == tree.root, "merkle.other_root", "the proof does not lead to the root", path)
    return f"both are in the tree of {leaves(tree.size)}"


def load_curve(case: Case) -> Finding:
    """Check that the curve leads from the start reading to the stop reading and never back."""
    if case.start is None or case.stop is None:
        return NO_READINGS
    curve = case.receipt.curve
    duration = unix_seconds(case.stop.at) - unix_seconds(case.start.at)
    require(bool(curve), "curve.empty", "the curve has no point", "curve")
    require(
        curve[0] == (0, case.start.register), "curve.other_start", "it is not the start reading", "curve[0]"
    )
    end = f"curve[{len(curve) - 1}]"
    require(curve[-1] == (duration, case.stop.register), "curve.other_end", "it is not the stop reading", end)
    for number in range(1, len(curve)):
        (before_s, before_wh), (at_s, at_wh) = curve[number - 1], curve[number]
        path = f"curve[{number}]"
        require(at_s > before_s, "curve.out_of_order", "the point is not after the one before", path)
        require(at_wh >= before_wh, "curve.register_went_back", f"{at_wh} Wh after {before_wh} Wh", path)
    return f"{counted(len(curve), 'point')} over {duration} s"


def energy(case: Case) -> Finding:
    """Check that the energy is the difference of the registers."""
    if case.start is None or case.stop is None:
        return NO_READINGS
    metered = case.stop.register - case.start.register
    require(
        case.receipt.energy == metered,
        "energy.differs",
        f"billed {case.receipt.energy} Wh, metered {metered} Wh",
        "energy_wh",
    )
    return f"{metered} Wh"


def _leaf_of(entry: MeterEntry) -> bytes:
    return meter_leaf_hash(entry.meter, entry.seq, entry.salt, entry.prev_hash, entry.payload)

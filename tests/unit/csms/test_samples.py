from datetime import UTC, datetime
from decimal import ROUND_FLOOR, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evmesh.csms.v16.instants import MalformedInstant
from evmesh.csms.v16.messages import MeterValue, SampledValue
from evmesh.csms.v16.samples import read_readable_samples, read_sample, read_samples
from evmesh.domain.stations import MeterSample

AT = "2026-06-01T08:00:00Z"


def sample(*values: SampledValue) -> MeterSample | None:
    return read_sample(MeterValue(AT, values))


def energy(value: str, **more: Any) -> SampledValue:
    return SampledValue(value, **more)


def register(*values: SampledValue) -> int | None:
    read = sample(*values)
    return read.register if read else None


def test_a_value_alone_is_the_import_register_in_wh() -> None:
    assert sample(SampledValue("1234")) == MeterSample(datetime(2026, 6, 1, 8, tzinfo=UTC), 1234)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "unit", "wh"),
    [
        ("1234.9", "Wh", 1234),
        ("1.2349", "kWh", 1234),
        ("0.29", "kWh", 290),  # 0.29 * 1000 is 289.99999999999994 in floats
        ("4.35", "kWh", 4350),
        ("12E3", "Wh", 12_000),
        ("+7", None, 7),
        (" 7 ", "Wh", 7),
        ("123456789012.345", "Wh", 123_456_789_012),
        ("0", "Wh", 0),
    ],
)
def test_registers_are_exact_and_rounded_down_to_whole_wh(value: str, unit: str | None, wh: int) -> None:
    assert register(energy(value, unit=unit)) == wh


@given(st.decimals(0, 10**9, places=6))
def test_kwh_are_thousand_wh_exactly(kwh: Decimal) -> None:
    expected = int((kwh * 1000).to_integral_value(ROUND_FLOOR))
    assert register(energy(f"{kwh:f}", unit="kWh")) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        "abc",
        "1,5",
        "NaN",
        "Infinity",
        "1e999999999",
        "-1",
        "0x10",
        "1_000",
        "٣",
        "9" * 40,
        "1" + "0" * 17,
    ],
)
def test_a_number_that_cannot_be_trusted_is_left_out(value: str) -> None:
    assert sample(energy(value)) is None


@given(st.text(max_size=30), st.none() | st.text(max_size=5))
def test_any_text_is_a_number_or_left_out(value: str, unit: str | None) -> None:
    read = register(energy(value, unit=unit))
    assert read is None or 0 <= read <= 10**15


def test_a_unit_that_the_measurand_cannot_have_leaves_it_out() -> None:
    assert register(energy("5", unit="W")) is None
    assert register(energy("5", unit="Varh")) is None


def test_power_soc_and_offered_current_come_in_our_units() -> None:
    read = sample(
        SampledValue("7.3605", measurand="Power.Active.Import", unit="kW"),
        SampledValue("41.7", measurand="SoC", unit="Percent", location="EV"),
        SampledValue("15.9999", measurand="Current.Offered", unit="A"),
        SampledValue("230", measurand="Voltage", unit="V"),
    )
    assert read is not None
    assert (read.register, read.power, read.soc_percent, read.offered) == (None, 7360, 41, 15_999)


def test_a_soc_beyond_a_hundred_is_left_out() -> None:
    assert sample(SampledValue("101", measurand="SoC")) is None


def test_signed_data_is_not_a_number() -> None:
    assert sample(energy("1234", format="SignedData")) is None


def test_a_phase_does_not_stand_for_the_total() -> None:
    assert register(energy("10", phase="L1"), energy("100")) == 100


def test_phases_add_up_where_no_total_is_given() -> None:
    assert register(*(energy("10.4", phase=phase) for phase in ("L1", "L2", "L3"))) == 31
    power = sample(
        *(SampledValue("1000.5", measurand="Power.Active.Import", phase=f"L{n}-N") for n in (1, 2, 3))
    )
    assert power is not None
    assert power.power == 3001


def test_phases_of_which_one_cannot_be_read_have_no_total() -> None:
    assert register(energy("10", phase="L1"), energy("?", phase="L2")) is None


def test_the_offered_current_is_the_least_of_the_phases() -> None:
    read = sample(
        SampledValue("16", measurand="Current.Offered", phase="L1"),
        SampledValue("13", measurand="Current.Offered", phase="L2"),
    )
    assert read is not None
    assert read.offered == 13_000


def test_of_two_registers_at_one_instant_the_one_at_the_end_counts() -> None:
    begin = energy("100", context="Transaction.Begin")
    end = energy("900", context="Transaction.End")
    assert register(begin, end) == register(end, begin) == 900
    now = energy("500", context="Trigger")
    assert register(now, begin) == register(begin, now) == 500


def test_what_leaves_the_outlet_goes_before_what_enters_the_station() -> None:
    assert register(energy("100", location="Inlet"), energy("90"), energy("110", location="Inlet")) == 90


def test_an_instant_that_cannot_be_read_is_an_error_or_passed_over() -> None:
    good, bad = MeterValue(AT, (energy("1"),)), MeterValue("today", (energy("2"),))
    with pytest.raises(MalformedInstant):
        list(read_samples([good, bad]))
    assert [read.register for read in read_readable_samples([bad, good])] == [1]


def test_currents_are_read_where_all_three_lines_are_told() -> None:
    def current(value: str, phase: str | None) -> SampledValue:
        return SampledValue(value, measurand="Current.Import", unit="A", phase=phase)

    lines = [current("15.9", "L1"), current("0.04", "L2"), current("0", "L3")]
    told = sample(energy("7"), *lines, current("1", "N"))
    assert told is not None
    assert told.currents == (15_900, 40, 0)
    for missing in (lines[:2], [current("16", None)]):
        told = sample(energy("7"), *missing)
        assert told is not None
        assert told.currents is None

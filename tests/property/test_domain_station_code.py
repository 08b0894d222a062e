"""A station code finds every mistake that people make, and no two assets share one."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evmesh.domain.errors import InvalidInput
from evmesh.domain.station_code import ALPHABET, CODE_SPACE, code_of, counter_of, spaced

counters = st.integers(1, CODE_SPACE - 1)


@given(counters)
def test_a_code_leads_back_to_its_asset_however_a_person_types_it(counter: int) -> None:
    code = code_of(counter)
    assert counter_of(code) == counter
    assert counter_of(f" {spaced(code).lower()} ") == counter
    assert counter_of(code.replace("1", "I").replace("0", "O")) == counter


@given(counters, st.integers(0, 7), st.sampled_from(ALPHABET))
def test_every_single_mistyped_character_is_found(counter: int, place: int, other: str) -> None:
    code = code_of(counter)
    typed = code[:place] + other + code[place + 1 :]
    if typed != code:
        with pytest.raises(InvalidInput) as refused:
            counter_of(typed)
        assert refused.value.code == "station.mistyped_code"


@given(counters, st.integers(0, 6))
def test_every_swap_of_two_neighbours_is_found(counter: int, place: int) -> None:
    code = code_of(counter)
    typed = code[:place] + code[place + 1] + code[place] + code[place + 2 :]
    if typed != code:
        with pytest.raises(InvalidInput) as refused:
            counter_of(typed)
        assert refused.value.code == "station.mistyped_code"


@given(st.sets(counters, min_size=2, max_size=20))
def test_no_two_assets_share_a_code(some: set[int]) -> None:
    assert len({code_of(counter) for counter in some}) == len(some)


@pytest.mark.parametrize("counter", [0, -1, CODE_SPACE])
def test_a_counter_outside_the_code_space_has_no_code(counter: int) -> None:
    with pytest.raises(InvalidInput):
        code_of(counter)


@pytest.mark.parametrize("typed", ["", "ABC", "YCM9T0EE1", "YCM9T0E!", "YCM9T0EU", "Ÿ" * 8])
def test_what_cannot_be_a_code_is_said_to_be_none(typed: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        counter_of(typed)
    assert refused.value.code == "station.malformed_code"


def test_the_codes_of_the_first_assets_are_frozen() -> None:
    assert [code_of(counter) for counter in (1, 2, 3, 6)] == ["YCM9T0EE", "J5G1DESA", "5YBS0X44", "18YZV858"]


@given(counters, st.integers(0, 7), st.integers(0, 7))
def test_two_characters_that_change_places_never_name_the_same_asset(
    counter: int, one: int, two: int
) -> None:
    code = list(code_of(counter))
    code[one], code[two] = code[two], code[one]
    typed = "".join(code)
    if typed != code_of(counter):
        with contextlib.suppress(InvalidInput):
            assert counter_of(typed) != counter


def test_every_mistake_in_one_code_is_found() -> None:
    code = code_of(12_345)
    typos = {code[:at] + other + code[at + 1 :] for at in range(8) for other in ALPHABET} - {code}
    swaps = {code[:at] + code[at + 1] + code[at] + code[at + 2 :] for at in range(7)} - {code}
    for typed in typos | swaps:
        with pytest.raises(InvalidInput):
            counter_of(typed)
    assert len(typos) == 8 * 31


def test_no_prefix_of_the_counters_shares_a_code() -> None:
    codes = {code_of(counter) for counter in range(1, 5_001)}
    assert len(codes) == 5_000
    assert not any(set(code) & set("ILOU") for code in codes)


@pytest.mark.parametrize(
    "hostile",
    [
        "ß" * 4,
        "\u017f" * 8,
        "\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18",
        "\x00" * 8,
        "12345678" * 10_000,
    ],
)
def test_characters_that_only_look_like_ours_are_none(hostile: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        counter_of(hostile)
    assert len(refused.value.what) < 200

"""Channels as honest people use them: three modes, late readers, lost and mixed-up frames, restarts."""

import itertools

import pytest

from evmesh.domain.canonical import canonical_cbor
from evmesh.domain.channel import MAX_BODY_BYTES, Channel, Missing, Mode, Position
from evmesh.domain.errors import InvalidInput, Refused
from evmesh.ledger import channels_epoch
from evmesh.ledger.channels_epoch import KEPT, Opened, Repeated, TooOld
from evmesh.ledger.channels_reader import ChannelReader, Excluded, Turned, Waiting
from evmesh.ledger.channels_writer import ChannelWriter
from evmesh.ledger.message_board import MAX_MESSAGE_BYTES
from tests.unit.ledger.channel_world import (
    DRIVER,
    OPERATOR,
    STATION,
    THIEF,
    Dice,
    bodies,
    channel,
    give,
    let_in,
    writing,
)


def test_everybody_reads_a_public_channel_by_its_description() -> None:
    writer = writing(Mode.PUBLIC)
    sent = [writer.write(b"available"), writer.write(b"occupied")]
    reader = ChannelReader.public(Channel.parse(writer.channel.encode()))
    assert give(reader, *sent) == [
        Opened(Position(0, 0), b"available", late=False),
        Opened(Position(0, 1), b"occupied", late=False),
    ]
    with pytest.raises(Refused, match=r"channel\.public"):
        writer.grant(DRIVER.public)


@pytest.mark.parametrize("mode", [Mode.PUBLIC, Mode.PRIVATE])
def test_the_next_epoch_of_an_unrestricted_channel_is_found_by_its_first_frame(mode: Mode) -> None:
    writer = writing(mode)
    reader = ChannelReader.public(writer.channel) if mode is Mode.PUBLIC else let_in(writer)
    places = set()
    for epoch in range(4):
        sent = [writer.write(f"{epoch}.{number}".encode()) for number in range(2)]
        assert {one.place for one in sent} <= set(reader.places())
        assert bodies(give(reader, *sent)) == [f"{epoch}.0".encode(), f"{epoch}.1".encode()]
        assert reader.epoch == epoch
        assert writer.turn() == []
        places.add(sent[0].place)
    assert len(places) == 4
    assert reader.missing() == []


def test_an_unrestricted_epoch_without_a_message_is_not_ended() -> None:
    with pytest.raises(Refused, match=r"channel\.epoch_empty"):
        writing(Mode.PUBLIC).turn()


def test_the_readers_of_a_restricted_channel_are_led_on_by_wraps() -> None:
    writer = writing()
    driver, operator = let_in(writer, DRIVER), let_in(writer, OPERATOR)
    first = writer.write(b"one")
    wraps = writer.turn()
    second = writer.write(b"two")
    for reader in (driver, operator):
        assert bodies(give(reader, first)) == [b"one"]
        assert second.place not in reader.places()
        assert give(reader, *wraps) == [Turned(1)]
        assert second.place in reader.places()
        assert bodies(give(reader, second)) == [b"two"]
        assert reader.missing() == []


def test_two_epochs_may_turn_without_a_message_between_them() -> None:
    writer = writing()
    driver = let_in(writer)
    assert give(driver, *writer.turn(), *writer.turn()) == [Turned(1), Turned(2)]
    assert bodies(give(driver, writer.write(b"here"))) == [b"here"]


def test_wraps_of_many_readers_fit_on_the_board_in_parts() -> None:
    writer = writing()
    let_in(writer, OPERATOR)
    for number in range(60):
        writer.grant(bytes([9, number]) + bytes(30))
    driver = let_in(writer)
    parts = writer.turn()
    assert [part.slot for part in parts] == [0, 1, 2]
    assert all(len(part.packet) <= MAX_MESSAGE_BYTES for part in parts)
    outcomes = give(driver, *parts[:1]) + [
        outcome for part in parts[1:] if driver.epoch == 0 for outcome in give(driver, part)
    ]
    assert outcomes[-1] == Turned(1)
    assert set(outcomes[:-1]) <= {Waiting(1)}


def test_frames_are_read_in_any_order_and_told_once() -> None:
    writer = writing()
    for order in itertools.permutations(range(4)):
        writer = writing()
        driver = let_in(writer)
        sent = [writer.write(bytes([number])) for number in range(4)]
        outcomes = give(driver, *(sent[number] for number in order))
        assert bodies(outcomes) == [bytes([number]) for number in order]
        late = [one.late for one in outcomes if isinstance(one, Opened)]
        assert late == [any(other > number for other in order[:at]) for at, number in enumerate(order)]
        assert give(driver, *sent) == [Repeated(Position(0, number)) for number in range(4)]
        assert driver.missing() == []


def test_dropped_frames_are_told_until_they_come() -> None:
    writer = writing()
    driver = let_in(writer)
    sent = [writer.write(bytes([number])) for number in range(7)]
    give(driver, sent[0], sent[3], sent[6])
    assert driver.missing() == [Missing(0, 1, 2), Missing(0, 4, 5)]
    assert bodies(give(driver, sent[2])) == [b"\x02"]
    assert driver.missing() == [Missing(0, 1, 1), Missing(0, 4, 5)]


def test_the_lost_end_of_an_epoch_shows_at_the_beginning_of_the_next() -> None:
    writer = writing()
    driver = let_in(writer)
    sent = [writer.write(bytes([number])) for number in range(3)]
    wraps = writer.turn()
    give(driver, sent[0], *wraps, writer.write(b"next"))
    assert driver.missing() == [Missing(0, 1, None)]
    give(driver, sent[1], sent[2])
    assert driver.missing() == []


def test_far_behind_the_newest_a_frame_is_given_up_and_said_so() -> None:
    writer = writing()
    driver = let_in(writer)
    sent = [writer.write(b"") for _ in range(KEPT + 3)]
    give(driver, sent[-1])
    assert driver.missing() == [Missing(0, 0, KEPT + 1)]
    assert give(driver, sent[0], sent[1]) == [TooOld(Position(0, 0)), TooOld(Position(0, 1))]
    assert bodies(give(driver, sent[2])) == [b""]
    assert driver.missing() == [Missing(0, 0, 1), Missing(0, 3, KEPT + 1)]


def test_writer_and_reader_go_on_after_a_restart() -> None:
    writer = writing()
    driver = let_in(writer)
    first = [writer.write(bytes([number])) for number in range(4)]
    give(driver, first[0], first[2])
    writer = ChannelWriter.restore(writer.channel, STATION, Dice(b"others"), writer.state())
    driver = ChannelReader.restore(writer.channel, DRIVER, driver.state())
    assert writer.unsent == (first[3],)
    assert writer.readers == (DRIVER.public,)
    assert driver.missing() == [Missing(0, 1, 1)]
    outcomes = give(driver, first[0], first[1], *writer.unsent, writer.write(b"after"))
    assert outcomes[0] == Repeated(Position(0, 0))
    assert bodies(outcomes) == [b"\x01", b"\x03", b"after"]
    wraps = writer.turn()
    writer = ChannelWriter.restore(writer.channel, STATION, Dice(b"third"), writer.state())
    assert list(writer.unsent) == wraps
    give(driver, *writer.unsent)
    driver = ChannelReader.restore(writer.channel, DRIVER, driver.state())
    assert bodies(give(driver, writer.write(b"third"))) == [b"third"]
    assert driver.missing() == []


def test_a_state_belongs_to_one_channel() -> None:
    writer = writing()
    driver = let_in(writer)
    other = Channel(Mode.RESTRICTED, STATION.public, "another")
    with pytest.raises(InvalidInput, match=r"channel\.other_channel"):
        ChannelWriter.restore(other, STATION, Dice(), writer.state())
    with pytest.raises(InvalidInput, match=r"channel\.other_channel"):
        ChannelReader.restore(other, DRIVER, driver.state())
    with pytest.raises(InvalidInput):
        ChannelReader.restore(writer.channel, DRIVER, canonical_cbor({"channel": writer.channel.id}))


def test_a_message_that_is_too_long_is_refused() -> None:
    writer = writing()
    driver = let_in(writer)
    with pytest.raises(InvalidInput, match=r"channel\.too_long"):
        writer.write(bytes(MAX_BODY_BYTES + 1))
    assert bodies(give(driver, writer.write(bytes(MAX_BODY_BYTES)))) == [bytes(MAX_BODY_BYTES)]


def test_who_is_not_let_in_any_more_is_told() -> None:
    writer = writing()
    driver, operator = let_in(writer, DRIVER), let_in(writer, OPERATOR)
    wraps = writer.revoke([DRIVER.public])
    assert give(driver, *wraps) == [Excluded(1)]
    assert give(operator, *wraps) == [Turned(1)]
    with pytest.raises(Refused, match=r"channel\.no_such_reader"):
        writer.revoke([DRIVER.public])


def test_a_private_channel_revokes_nobody() -> None:
    with pytest.raises(Refused, match=r"channel\.cannot_revoke"):
        writing(Mode.PRIVATE).revoke([DRIVER.public])


def test_a_leap_past_all_keys_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels_epoch, "MAX_JUMP", 2)
    writer = writing()
    driver = let_in(writer)
    sent = [writer.write(b"") for _ in range(4)]
    untouched = driver.state()
    with pytest.raises(InvalidInput, match=r"channel\.jump"):
        driver.take(sent[3].place, sent[3].packet)
    assert driver.state() == untouched
    assert bodies(give(driver, sent[2], sent[3])) == [b"", b""]


def test_another_key_than_the_channels_writes_nothing() -> None:
    with pytest.raises(InvalidInput, match=r"channel\.other_writer"):
        ChannelWriter(channel(key=STATION), THIEF, Dice())

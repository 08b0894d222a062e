"""What must not work on a channel: reading what was not granted, and writing in another's name."""

import hashlib
from dataclasses import replace

import pytest

from evmesh.domain.canonical import canonical_cbor
from evmesh.domain.channel import Channel, Missing, Mode, Position
from evmesh.domain.channel_cbor import parse_canonical_cbor
from evmesh.domain.channel_frame import Frame, Packet, Statement
from evmesh.domain.channel_grant import encode_wraps
from evmesh.domain.errors import EvmeshError, IntegrityFailure, InvalidInput
from evmesh.ledger.channels_epoch import BeforeGrant, Contradicted, Opened, Start
from evmesh.ledger.channels_grants import grant_tag, open_grant, seal_grant, seal_part
from evmesh.ledger.channels_keys import EpochKeys, body_key, next_chain
from evmesh.ledger.channels_reader import ChannelReader, Excluded
from evmesh.ledger.channels_statements import make_packet, open_head, require_contradiction
from evmesh.ledger.channels_writer import ChannelWriter
from tests.unit.ledger.channel_world import (
    DRIVER,
    OPERATOR,
    STATION,
    STRANGER,
    THIEF,
    Dice,
    bodies,
    channel,
    give,
    let_in,
    writing,
)


def secrets_of(reader: ChannelReader) -> list[bytes]:
    """Every 32 bytes that this reader holds."""
    found: list[bytes] = []

    def walk(value: object) -> None:
        if isinstance(value, bytes):
            if len(value) == 32:
                found.append(value)
            else:
                try:
                    walk(parse_canonical_cbor(value))
                except InvalidInput:
                    return
        elif isinstance(value, dict):
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk(reader.state())
    return found


def test_a_revoked_reader_reads_no_message_of_after() -> None:
    writer = writing()
    driver, operator = let_in(writer, DRIVER), let_in(writer, OPERATOR)
    before = writer.write(b"before")
    wraps = writer.revoke([DRIVER.public])
    after = writer.write(b"after")
    assert bodies(give(operator, before, *wraps, after)) == [b"before", b"after"]
    assert bodies(give(driver, before)) == [b"before"]
    assert give(driver, *wraps) == [Excluded(1)]
    assert after.place not in driver.places()
    with pytest.raises(InvalidInput, match=r"channel\.other_place"):
        driver.take(after.place, after.packet)
    # Nor where it is told the place, and tries whatever it ever held for a root key.
    held = secrets_of(driver)
    assert len(held) > 4
    for secret in held:
        for root in (secret, next_chain(secret), hashlib.sha256(secret).digest()):
            start = replace(Start.of_root(1, root), place=after.place)
            with pytest.raises(IntegrityFailure, match=r"channel\.unreadable"):
                ChannelReader(writer.channel, DRIVER, start).take(after.place, after.packet)


def test_a_reader_granted_at_a_message_cannot_read_the_one_before() -> None:
    writer = writing()
    early = let_in(writer, OPERATOR)
    before = writer.write(b"before")
    driver = let_in(writer)
    after = writer.write(b"after")
    assert give(driver, before, after) == [
        BeforeGrant(Position(0, 0)),
        Opened(Position(0, 1), b"after", late=False),
    ]
    assert bodies(give(early, before)) == [b"before"]
    grant = open_grant(writer.channel, writer.grant(DRIVER.public), DRIVER)
    packet = Packet.parse(before.packet)
    assert open_head(writer.channel, 0, packet, grant.head_key).frame.at == Position(0, 0)
    for secret in [*secrets_of(driver), grant.chain_key]:
        start = Start(Position(0, 0), grant.place, grant.wraps, grant.head_key, secret, None)
        with pytest.raises(IntegrityFailure, match=r"channel\.unreadable"):
            ChannelReader(writer.channel, DRIVER, start).take(before.place, before.packet)


def test_a_grant_opens_for_its_reader_only() -> None:
    writer = writing()
    sealed = writer.grant(DRIVER.public)
    with pytest.raises(IntegrityFailure, match=r"channel\.not_granted"):
        open_grant(writer.channel, sealed, STRANGER)
    with pytest.raises(IntegrityFailure, match=r"channel\.not_granted"):
        open_grant(channel(Mode.PRIVATE), sealed, DRIVER)
    assert grant_tag(writer.channel, DRIVER.public) != grant_tag(writer.channel, STRANGER.public)


def test_a_grant_that_a_reader_passes_on_or_makes_up_is_not_the_writers() -> None:
    writer = writing()
    grant = open_grant(writer.channel, writer.grant(DRIVER.public), DRIVER)
    made_up = seal_grant(THIEF, grant, STRANGER.public)
    with pytest.raises(IntegrityFailure, match=r"channel\.forged"):
        open_grant(writer.channel, made_up, STRANGER)


def forged_frames(writer: ChannelWriter) -> list[bytes]:
    """What a thief makes who is a reader, and so has all keys but the writer's."""
    grant = open_grant(writer.channel, writer.grant(DRIVER.public), DRIVER)
    frame = Frame(writer.channel.id, grant.at, grant.prev_hash, grant.next_epoch_key_hash)
    packet, _ = make_packet(
        THIEF,
        frame,
        b"stop charging",
        nonce=bytes(24),
        head_key=grant.head_key,
        body_key=body_key(grant.chain_key),
    )
    true = Packet.parse(writer.write(b"go on").packet)
    return [
        packet.encode(),
        replace(packet, head=true.head, nonce=true.nonce).encode(),
        replace(true, body=packet.body).encode(),
        replace(true, nonce=bytes(24)).encode(),
    ]


def test_a_frame_that_another_reader_forged_is_refused_and_changes_nothing() -> None:
    writer = writing()
    operator = let_in(writer, OPERATOR)
    place = operator.places()[0]
    untouched = operator.state()
    for raw in forged_frames(writer):
        with pytest.raises(IntegrityFailure, match=r"channel\.(forged|unreadable)"):
            operator.take(place, raw)
    assert operator.state() == untouched
    assert bodies(give(operator, *writer.unsent)) == [b"go on"]


def test_every_changed_or_missing_byte_of_a_frame_is_noticed() -> None:
    writer = writing()
    driver = let_in(writer)
    sent = writer.write(b"limit 4200 W")
    untouched = driver.state()
    spoiled = [
        sent.packet[:place] + bytes([sent.packet[place] ^ 1]) + sent.packet[place + 1 :]
        for place in range(len(sent.packet))
    ]
    spoiled += [sent.packet[:length] for length in range(len(sent.packet))]
    spoiled.append(sent.packet + b"\x00")
    for raw in spoiled:
        with pytest.raises(EvmeshError, match=r"channel\.|cbor\."):
            driver.take(sent.place, raw)
    assert driver.state() == untouched
    assert bodies(give(driver, sent)) == [b"limit 4200 W"]


def test_a_frame_does_not_count_in_another_channel_or_epoch() -> None:
    writer = writing()
    driver = let_in(writer)
    sent = writer.write(b"one")
    grant = open_grant(writer.channel, writer.grant(DRIVER.public), DRIVER)
    packet = Packet.parse(sent.packet)
    with pytest.raises(InvalidInput, match=r"channel\.other_channel"):
        open_head(Channel(Mode.RESTRICTED, STATION.public, "other"), 0, packet, grant.head_key)
    with pytest.raises(InvalidInput, match=r"channel\.other_channel"):
        open_head(writer.channel, 1, packet, grant.head_key)
    give(driver, *writer.turn())
    with pytest.raises(EvmeshError):
        driver.take(writer.write(b"").place, sent.packet)


def test_a_writer_who_says_two_things_in_one_place_is_convicted() -> None:
    writer = writing()
    driver = let_in(writer)
    twin = ChannelWriter.restore(writer.channel, STATION, Dice(b"twin"), writer.state())
    honest, false = writer.write(b"22 kW"), twin.write(b"11 kW")
    assert bodies(give(driver, honest)) == [b"22 kW"]
    [outcome] = give(driver, false)
    assert isinstance(outcome, Contradicted)
    # The proof is for anybody: it travels as bytes and needs no key.
    first, second = (Statement.parse(one.encode()) for one in (outcome.first, outcome.second))
    assert require_contradiction(writer.channel, first, second) == Position(0, 0)


def test_a_writer_who_goes_on_from_two_histories_is_convicted_by_the_next_frame() -> None:
    writer = writing()
    driver, operator = let_in(writer, DRIVER), let_in(writer, OPERATOR)
    twin = ChannelWriter.restore(writer.channel, STATION, Dice(b"twin"), writer.state())
    true, false = writer.write(b"22 kW"), twin.write(b"11 kW")
    after = writer.write(b"go on")
    assert bodies(give(driver, true, after)) == [b"22 kW", b"go on"]
    assert bodies(give(operator, false)) == [b"11 kW"]
    [outcome] = give(operator, after)
    assert isinstance(outcome, Contradicted)
    assert require_contradiction(writer.channel, outcome.first, outcome.second) == Position(0, 1)


def test_an_honest_writer_is_convicted_of_nothing() -> None:
    writer = writing()
    driver = let_in(writer)
    sent = [writer.write(bytes([number])) for number in range(3)]
    give(driver, *sent)
    grant = open_grant(writer.channel, writer.grant(DRIVER.public), DRIVER)
    told = [open_head(writer.channel, 0, Packet.parse(one.packet), grant.head_key) for one in sent]
    for first in told:
        for second in told:
            with pytest.raises(IntegrityFailure, match=r"channel\.no_contradiction"):
                require_contradiction(writer.channel, first, second)
    made_up = replace(told[0], body_hash=bytes(32))
    with pytest.raises(IntegrityFailure, match=r"channel\.forged"):
        require_contradiction(writer.channel, told[0], made_up)


def test_wraps_that_a_reader_forged_turn_nothing() -> None:
    writer = writing()
    driver = let_in(writer)
    grant = open_grant(writer.channel, writer.grant(DRIVER.public), DRIVER)
    thief = ChannelWriter(channel(key=THIEF), THIEF, Dice(b"thief"))
    thief.grant(DRIVER.public)
    for raw in (thief.turn()[0].packet, b"", canonical_cbor([bytes(24), bytes(100)])):
        with pytest.raises(EvmeshError, match=r"channel\.|cbor\."):
            driver.take(grant.wraps, raw)
    assert driver.epoch == 0


def test_another_reader_cannot_tell_us_that_we_were_revoked() -> None:
    writer = writing()
    driver = let_in(writer)
    grant = open_grant(writer.channel, writer.grant(OPERATOR.public), OPERATOR)  # it has the head key
    [part] = encode_wraps([])
    forged = seal_part(THIEF, writer.channel, 1, part, nonce=bytes(24), head_key=grant.head_key)
    with pytest.raises(IntegrityFailure, match=r"channel\.forged"):
        driver.take(grant.wraps, forged)
    [true] = writer.turn()
    with pytest.raises(IntegrityFailure, match=r"channel\.(forged|unreadable)"):
        driver.take(
            grant.wraps, seal_part(THIEF, writer.channel, 1, true.packet, nonce=bytes(24), head_key=bytes(32))
        )
    assert bodies(give(driver, true, writer.write(b"go on"))) == [b"go on"]


def test_a_first_frame_that_follows_another_one_than_the_grant_says_is_refused() -> None:
    writer = writing()
    writer.write(b"true")
    twin = ChannelWriter.restore(writer.channel, STATION, Dice(b"twin"), writer.state())
    twin._at = replace(twin._at, prev_hash=bytes(32))
    driver = let_in(writer)
    sent = twin.write(b"another past")
    with pytest.raises(IntegrityFailure, match=r"channel\.broken_link"):
        driver.take(sent.place, sent.packet)
    assert bodies(give(driver, writer.write(b"go on"))) == [b"go on"]


def test_another_root_key_than_the_writer_committed_to_is_refused() -> None:
    writer = writing()
    driver = let_in(writer)
    twin = ChannelWriter.restore(writer.channel, STATION, Dice(b"twin"), writer.state())
    twin._at = replace(twin._at, next_root=bytes(32))
    give(driver, writer.write(b"one"))
    [wraps] = twin.turn()
    with pytest.raises(IntegrityFailure, match=r"channel\.other_root"):
        driver.take(wraps.place, wraps.packet)
    assert driver.epoch == 0


def test_nothing_on_the_wire_links_a_channels_epochs() -> None:
    writer = writing()
    for reader in (DRIVER, OPERATOR):
        writer.grant(reader.public)
    seen = []
    for _ in range(3):
        seen += [writer.write(b"same words"), writer.write(b"same words"), *writer.turn()]
    known = [writer.channel.id, writer.channel.writer, DRIVER.public, OPERATOR.public]
    shown = b"".join(one.place + one.packet for one in seen)
    assert not any(secret in shown for secret in known)
    places = [one.place for one in seen]
    assert len(set(places)) == 6
    assert not any(places[0] in one.packet for one in seen)
    parts = [part for one in seen for part in _pieces(one.packet)]
    assert len(set(parts)) == len(parts)


def _pieces(packet: bytes) -> list[bytes]:
    value = parse_canonical_cbor(packet)
    assert isinstance(value, list)
    return [part for part in value if isinstance(part, bytes)]


def test_the_keys_of_an_epoch_say_nothing_of_the_next_one() -> None:
    keys = EpochKeys.of(bytes(32))
    assert (
        len({keys.place, keys.wraps, keys.head, keys.chain, body_key(keys.chain), next_chain(keys.chain)})
        == 6
    )


def test_a_truncated_stream_shows_with_the_next_message() -> None:
    writer = writing()
    driver = let_in(writer)
    sent = [writer.write(b"") for _ in range(5)]
    give(driver, sent[0], sent[4])
    assert driver.missing() == [Missing(0, 1, 3)]


def test_keys_are_not_printed() -> None:
    assert repr(STATION) == f"WriterKey({STATION.public.hex()})"
    assert repr(DRIVER) == f"ReaderKey({DRIVER.public.hex()})"

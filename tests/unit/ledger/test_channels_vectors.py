"""The channel vectors of docs/formats.md, computed again: by evmesh, and with other libraries."""

import hashlib
import hmac
import json
import re
from pathlib import Path
from typing import Any

import cbor2
from Crypto.Cipher import ChaCha20_Poly1305
from Crypto.PublicKey import ECC
from Crypto.Signature import eddsa

from evmesh.domain.channel import Channel, Mode, Position
from evmesh.domain.channel_announcement import station_tag
from evmesh.domain.channel_frame import Packet
from evmesh.domain.channel_grant import Grant
from evmesh.ledger.channels_epoch import Opened
from evmesh.ledger.channels_grants import grant_tag, open_grant, open_part, wraps_tag
from evmesh.ledger.channels_keys import EpochKeys, ReaderKey, WriterKey, key_hash, public_root
from evmesh.ledger.channels_reader import ChannelReader, Turned
from evmesh.ledger.channels_writer import ChannelWriter

PAGE = Path(__file__).parents[3] / "docs" / "formats.md"


def vectors() -> dict[str, dict[str, Any]]:
    section = PAGE.read_text().split("\n## Channels and announcements\n")[1].split("\n## ")[0]
    blocks = re.findall(r"^```json\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    return {one["vector"]: one for one in map(json.loads, blocks)}


VECTORS = vectors()


def raw(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def by_hand(key: bytes, label: str) -> bytes:
    return hmac.new(key, b"evmesh.channel/1 " + label.encode(), hashlib.sha256).digest()


def unseal(key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
    cipher = ChaCha20_Poly1305.new(key=key, nonce=nonce)
    cipher.update(associated)
    return cipher.decrypt_and_verify(sealed[:-16], sealed[-16:])


class Listed:
    """Gives the random bytes of the vector, in order."""

    def __init__(self, *values: bytes) -> None:
        self.values = list(values)

    def __call__(self, count: int) -> bytes:
        value = self.values.pop(0)
        assert len(value) == count
        return value


def writer_of(vector: dict[str, Any]) -> ChannelWriter:
    key = WriterKey(raw(vector["writer_seed"]))
    channel = Channel(Mode(vector["mode"]), key.public, vector["name"])
    return ChannelWriter(
        channel, key, Listed(*(raw(vector[name]) for name in ("root", "next_root", "nonce")))
    )


def test_the_writer_makes_the_vectors_packet() -> None:
    vector = VECTORS["channel"]
    writer = writer_of(vector)
    assert writer.channel.id == raw(vector["id"])
    keys = EpochKeys.of(raw(vector["root"]))
    assert [keys.place, keys.wraps, keys.head, keys.chain] == [
        raw(vector[name]) for name in ("place", "wraps", "head_key", "chain_key")
    ]
    assert key_hash(raw(vector["next_root"])) == raw(vector["next_epoch_key_hash"])
    sent = writer.write(raw(vector["body"]))
    assert (sent.place, sent.slot, sent.packet) == (raw(vector["place"]), 0, raw(vector["packet"]))


def test_other_libraries_read_the_vectors_packet_as_the_page_says() -> None:
    vector = VECTORS["channel"]
    description = cbor2.dumps(
        {
            "mode": vector["mode"],
            "writer": ECC.import_key(_spki(raw(vector["writer"]))).public_key().export_key(format="raw"),
            "name": vector["name"],
        },
        canonical=True,
    )
    assert hashlib.sha256(b"evmesh.channel/1" + description).hexdigest() == vector["id"][2:]
    root = raw(vector["root"])
    assert by_hand(root, "place")[:16] == raw(vector["place"])
    assert by_hand(root, "wraps")[:16] == raw(vector["wraps"])
    nonce, head, body = cbor2.loads(raw(vector["packet"]))
    opened = unseal(by_hand(root, "head"), nonce, head, b"evmesh.head/1")
    frame, signature = opened[:-64], opened[-64:]
    assert frame == raw(vector["frame"])
    assert cbor2.loads(frame) == {
        "channel": raw(vector["id"]),
        "epoch": 0,
        "seq": 0,
        "prev_hash": bytes(32),
        "next_epoch_key_hash": hashlib.sha256(b"evmesh.epoch-key/1" + raw(vector["next_root"])).digest(),
    }
    statement = hashlib.sha256(
        b"evmesh.frame/1" + hashlib.sha256(frame).digest() + hashlib.sha256(nonce + body).digest()
    ).digest()
    assert statement == raw(vector["statement_hash"])
    eddsa.new(ECC.import_key(_spki(raw(vector["writer"]))), "rfc8032").verify(statement, signature)
    assert unseal(by_hand(by_hand(root, "chain"), "body"), nonce, body, frame) == raw(vector["body"])
    assert Packet.parse(raw(vector["packet"])).body_hash == hashlib.sha256(nonce + body).digest()


def test_the_grant_and_the_wraps() -> None:
    vector, writing = VECTORS["grant"], VECTORS["channel"]
    reader_key, writer = ReaderKey(raw(vector["reader_secret"])), writer_of(writing)
    channel = writer.channel
    assert reader_key.public == raw(vector["reader"])
    grant = open_grant(channel, raw(vector["sealed"]), reader_key)
    assert grant == Grant.parse(raw(vector["grant"]))
    assert grant.at == Position(0, 0)
    assert grant_tag(channel, reader_key.public) == raw(vector["tag"])
    reader = ChannelReader.granted(channel, grant, reader_key)
    packet = raw(writing["packet"])
    assert reader.take(grant.place, packet) == Opened(Position(0, 0), raw(writing["body"]), late=False)
    assert len(open_part(channel, 1, raw(vector["part"]), grant.head_key)[2]) == 1
    assert wraps_tag(grant.wraps, 0) == raw(vector["part_tag"])
    assert reader.take(grant.wraps, raw(vector["part"])) == Turned(1)
    assert reader.places()[1] == EpochKeys.of(raw(writing["next_root"])).place


def test_the_tags_and_roots_that_everybody_computes() -> None:
    vector = VECTORS["public"]
    channel = Channel(Mode.PUBLIC, raw(VECTORS["channel"]["writer"]), VECTORS["channel"]["name"])
    assert channel.id == raw(vector["id"])
    assert public_root(channel, 3) == by_hand(channel.id, "public 3") == raw(vector["root_3"])
    assert station_tag("YCM9-T0EE") == raw(vector["station_tag"])
    assert hashlib.sha256(b"evmesh.station/1 YCM9T0EE").digest() == raw(vector["station_tag"])


def _spki(public: bytes) -> bytes:
    """Wrap an Ed25519 key as RFC 8410 does."""
    return bytes.fromhex("302a300506032b6570032100") + public

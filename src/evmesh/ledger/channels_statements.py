"""Packets opened and made, and the proof that a writer wrote two different messages in one place."""

from evmesh.domain.channel import Channel, Position
from evmesh.domain.channel_frame import (
    SIGNATURE_SIZE,
    Frame,
    Packet,
    Statement,
    require_channel,
    statement_hash,
)
from evmesh.domain.errors import IntegrityFailure, InvalidInput
from evmesh.ledger.channels_keys import WriterKey, require_signature, seal, unseal


def make_packet(
    writer: WriterKey, frame: Frame, body: bytes, *, nonce: bytes, head_key: bytes, body_key: bytes
) -> tuple[Packet, Statement]:
    """Encrypt and sign one message.

    `nonce` is random although each key serves once: a writer that came back from an old backup would
    use a key a second time, which then is a contradiction for all to see, and no leak.
    """
    raw = frame.encode()
    sealed = Packet(nonce, b"", seal(body_key, nonce, body, raw))
    signature = writer.sign(statement_hash(frame, sealed.body_hash))
    head = seal(head_key, nonce, raw + signature, b"evmesh.head/1")
    return Packet(nonce, head, sealed.body), Statement(frame, sealed.body_hash, signature)


def open_head(channel: Channel, epoch: int, packet: Packet, head_key: bytes) -> Statement:
    """Give what the channel's writer said of this packet; all of it but the body is checked.

    Raises IntegrityFailure `channel.unreadable` or `channel.forged`, InvalidInput where the frame is
    malformed or of another channel or epoch.
    """
    raw = unseal(head_key, packet.nonce, packet.head, b"evmesh.head/1")
    if len(raw) <= SIGNATURE_SIZE:
        raise InvalidInput("channel.bad_packet", "the head holds no frame")
    frame = Frame.parse(raw[:-SIGNATURE_SIZE])
    require_channel(frame, channel, epoch)
    statement = Statement(frame, packet.body_hash, raw[-SIGNATURE_SIZE:])
    require_signature(channel.writer, statement.hash, statement.signature)
    return statement


def open_body(statement: Statement, packet: Packet, key: bytes) -> bytes:
    """Decrypt the body, with the frame as associated data."""
    return unseal(key, packet.nonce, packet.body, statement.frame.encode())


def require_contradiction(channel: Channel, first: Statement, second: Statement) -> Position:
    """Check a proof that the writer equivocated, as anybody can who knows the channel; give where.

    Raises IntegrityFailure `channel.forged` where one of them is not the writer's, and
    `channel.no_contradiction` where an honest writer can have signed both.
    """
    for statement in (first, second):
        require_signature(channel.writer, statement.hash, statement.signature)
    if first.frame.channel != channel.id or not first.contradicts(second):
        raise IntegrityFailure("channel.no_contradiction", "these two statements agree with each other")
    return max(first.frame.at, second.frame.at, key=lambda at: at.seq)

"""Grants sealed for one reader, wraps of a root key for many, and the tags that both lie under."""

import hashlib
import struct

from evmesh.domain.canonical import canonical_cbor
from evmesh.domain.channel import KEY_SIZE, Channel
from evmesh.domain.channel_cbor import parse_canonical_cbor
from evmesh.domain.channel_frame import NONCE_SIZE, SIGNATURE_SIZE
from evmesh.domain.channel_grant import Grant, parse_wraps
from evmesh.domain.errors import IntegrityFailure, InvalidInput
from evmesh.ledger.channels_keys import ReaderKey, WriterKey, require_signature, seal, unseal, wrap


def seal_grant(writer: WriterKey, grant: Grant, reader: bytes) -> bytes:
    """Sign a grant for one reader and encrypt it to that reader's key."""
    raw = grant.encode()
    signature = writer.sign(_grant_digest(reader, raw))
    return wrap(canonical_cbor([raw, signature]), reader, _grant_info(grant.channel))


def open_grant(channel: Channel, sealed: bytes, key: ReaderKey) -> Grant:
    """Read a grant of this channel.

    Raises IntegrityFailure `channel.not_granted` where it is not for this key and channel,
    `channel.forged` where the channel's writer did not sign it for this reader.
    """
    opened = key.unwrap(sealed, _grant_info(channel.id))
    if opened is None:
        raise IntegrityFailure(
            "channel.not_granted",
            "the grant is for another reader or another channel",
            do="give the writer the public key of this device",
        )
    match parse_canonical_cbor(opened):
        case [bytes(raw), bytes(signature)] if len(signature) == SIGNATURE_SIZE:
            require_signature(channel.writer, _grant_digest(key.public, raw), signature)
            grant = Grant.parse(raw)
            if grant.channel == channel.id:
                return grant
    raise InvalidInput("channel.bad_grant", "these bytes are no grant")


def wrap_root(channel: Channel, epoch: int, root: bytes, reader: bytes) -> bytes:
    """Encrypt an epoch's root key for one reader."""
    return wrap(root, reader, _root_info(channel, epoch))


def seal_part(
    writer: WriterKey, channel: Channel, epoch: int, part: bytes, *, nonce: bytes, head_key: bytes
) -> bytes:
    """Sign one part of an epoch's wraps, and hide it from all but the readers of the epoch before.

    `head_key` is that of the epoch before. Gives the canonical CBOR [nonce, sealed].
    """
    signature = writer.sign(_part_digest(channel, epoch, part))
    return canonical_cbor([nonce, seal(head_key, nonce, part + signature, b"evmesh.wraps/1")])


def open_part(channel: Channel, epoch: int, raw: bytes, head_key: bytes) -> tuple[int, int, list[bytes]]:
    """Give a part's index, how many parts there are, and its wraps.

    Raises IntegrityFailure `channel.unreadable` or `channel.forged`, InvalidInput where it is malformed.
    """
    match parse_canonical_cbor(raw):
        case [bytes(nonce), bytes(sealed)] if len(nonce) == NONCE_SIZE:
            opened = unseal(head_key, nonce, sealed, b"evmesh.wraps/1")
            part, signature = opened[:-SIGNATURE_SIZE], opened[-SIGNATURE_SIZE:]
            require_signature(channel.writer, _part_digest(channel, epoch, part), signature)
            return parse_wraps(part)
    raise InvalidInput("channel.bad_wraps", "these bytes are no wraps of a root key")


def find_root(channel: Channel, epoch: int, wraps: list[bytes], key: ReaderKey) -> bytes | None:
    """Give the root key that one of these wraps holds for us, if any does."""
    for one in wraps:
        root = key.unwrap(one, _root_info(channel, epoch))
        if root is not None and len(root) == KEY_SIZE:
            return root
    return None


def grant_tag(channel: Channel, reader: bytes) -> bytes:
    """Give the `MessageBoard` tag under which a reader finds a first grant."""
    return hashlib.sha256(b"evmesh.grant-tag/1" + channel.id + reader).digest()


def wraps_tag(wraps: bytes, part: int) -> bytes:
    """Give the `MessageBoard` tag of one part of an epoch's wraps; its readers know it, nobody else."""
    return hashlib.sha256(b"evmesh.wraps-tag/1" + wraps + struct.pack(">I", part)).digest()


def _grant_info(channel: bytes) -> bytes:
    return b"evmesh.grant/1" + channel


def _grant_digest(reader: bytes, raw: bytes) -> bytes:
    return hashlib.sha256(b"evmesh.grant/1" + reader + raw).digest()


def _part_digest(channel: Channel, epoch: int, part: bytes) -> bytes:
    return hashlib.sha256(b"evmesh.wraps/1" + channel.id + struct.pack(">I", epoch) + part).digest()


def _root_info(channel: Channel, epoch: int) -> bytes:
    return b"evmesh.epoch/1" + channel.id + struct.pack(">I", epoch)

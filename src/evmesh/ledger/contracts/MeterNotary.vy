# pragma version 0.4.3
# pragma evm-version cancun
"""
@title MeterNotary
@license Apache-2.0
@notice Keeps the newest RFC 9162 tree head of every stream of every publisher.
@dev A head says: my log has this many leaves, and this is its root. That a newer head only appends to
     an older one is shown off chain by a consistency proof between the two.
@custom:units sizes are leaves; anchored_at is seconds since 1970
@custom:holds no funds
@custom:stop none needed: append-only, no owner, no upgrade
"""

MAX_HEADS: constant(uint256) = 100
MAX_SIZE: constant(uint256) = 2**64 - 1

struct Head:
    stream: bytes32
    size: uint256
    root: bytes32

event Anchored:
    publisher: indexed(address)
    stream: indexed(bytes32)
    size: uint256
    root: bytes32

roots: HashMap[address, HashMap[bytes32, bytes32]]
# size 64 | anchored_at 64, from the low bit up
sizes: HashMap[address, HashMap[bytes32, uint256]]


@external
def anchor(stream: bytes32, size: uint256, root: bytes32):
    """
    @notice Anchor the newest head of a stream of the sender.
    """
    self._anchor(stream, size, root)


@external
def anchor_many(heads: DynArray[Head, MAX_HEADS]):
    """
    @notice Anchor the newest heads of several streams of the sender; all or none.
    """
    for head: Head in heads:
        self._anchor(head.stream, head.size, head.root)


@external
@view
def newest(publisher: address, stream: bytes32) -> (uint256, bytes32, uint256):
    """
    @notice Give size, root and time of the newest head; zeros for an unknown stream.
    """
    size: uint256 = self.sizes[publisher][stream]
    return size & MAX_SIZE, self.roots[publisher][stream], size >> 64


@internal
def _anchor(stream: bytes32, size: uint256, root: bytes32):
    assert size > self.sizes[msg.sender][stream] & MAX_SIZE, "notary: must grow"
    assert size <= MAX_SIZE, "notary: size too large"
    assert root != empty(bytes32), "notary: no root"
    self.sizes[msg.sender][stream] = size | (block.timestamp << 64)
    self.roots[msg.sender][stream] = root
    log Anchored(publisher=msg.sender, stream=stream, size=size, root=root)

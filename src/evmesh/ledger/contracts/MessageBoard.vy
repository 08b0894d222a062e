# pragma version 0.4.3
# pragma evm-version cancun
"""
@title MessageBoard
@license Apache-2.0
@notice Tagged messages and announcements: found by tag in the logs, and the newest one told by its hash.
@dev Nodes drop old logs: what has to stay found is posted again, which leaves its hash as it is. Anybody
     posts under any tag; whose word on a tag counts is for readers to say, who look under that sender.
@custom:units bodies are bytes
@custom:holds no funds
@custom:stop none needed: everybody posts under the own address only; no owner, no upgrade
"""

MAX_BODY: constant(uint256) = 2_048

event Posted:
    sender: indexed(address)
    tag: indexed(bytes32)
    body: Bytes[MAX_BODY]

event Withdrawn:
    sender: indexed(address)
    tag: indexed(bytes32)

# keccak-256 of the newest body of a sender under a tag; zero: nothing, or withdrawn
newest: public(HashMap[address, HashMap[bytes32, bytes32]])


@external
def post(tag: bytes32, body: Bytes[MAX_BODY]):
    """
    @notice Post a message of the sender under a tag; it takes the place of the one before.
    """
    assert len(body) != 0, "board: empty message"
    self.newest[msg.sender][tag] = keccak256(body)
    log Posted(sender=msg.sender, tag=tag, body=body)


@external
def withdraw(tag: bytes32):
    """
    @notice Say that nothing of the sender stands under a tag any more.
    """
    assert self.newest[msg.sender][tag] != empty(bytes32), "board: nothing posted"
    self.newest[msg.sender][tag] = empty(bytes32)
    log Withdrawn(sender=msg.sender, tag=tag)

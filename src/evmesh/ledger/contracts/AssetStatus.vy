# pragma version 0.4.3
# pragma evm-version cancun
"""
@title AssetStatus
@license Apache-2.0
@notice How assets are, step by step: one record per asset as an event, and maps of occupancy in storage.
@dev Anybody publishes under the own address; a reader believes the owner that AssetRegistry names. Records
     are for those who follow; a map is for those who come later, since nodes drop old logs.
@custom:units a step is 900 s since 1970; power in W, positive from the grid; energy in Wh; time left in s
@custom:holds no funds
@custom:stop none needed: everybody publishes under the own address only; no owner, no upgrade
"""

MAX_RECORDS: constant(uint256) = 200
MAX_WORDS: constant(uint256) = 128

ASSET: constant(uint256) = 2**40 - 1
STEP: constant(uint256) = 2**32 - 1

# The first word of a map is its step 32 | 56 states of 4 bits, each other one is 64 states, from the low bit up.
IN_FIRST: constant(uint256) = 56
FIRST_SHIFT: constant(uint256) = 32

event Recorded:
    publisher: indexed(address)
    asset: indexed(uint256)
    # asset 40 | step 32 | state 8 | known 8 | state of charge % 8 | power 32, two's complement | limit 32
    # | energy left 32 | time left 32 | energy at hand 32, from the low bit up
    record: uint256

event MapSet:
    publisher: indexed(address)
    area: indexed(uint256)
    step: uint256

event AssetsNamed:
    publisher: indexed(address)
    area: indexed(uint256)
    assets: bytes32

# publisher, area, number of the word
maps: HashMap[address, HashMap[uint256, HashMap[uint256, uint256]]]
# hash of the list of asset numbers in the order of an area's map, which the publisher's base URL serves
assets: public(HashMap[address, HashMap[uint256, bytes32]])


@external
def publish(records: DynArray[uint256, MAX_RECORDS]):
    """
    @notice Say how assets are in a step: power, limit, what is left of energy and time, state of charge.
    @param records One word per asset, as in the event.
    """
    for record: uint256 in records:
        assert record & ASSET != 0, "status: no asset"
        log Recorded(publisher=msg.sender, asset=record & ASSET, record=record)


@external
def set_map(area: uint256, words: DynArray[uint256, MAX_WORDS]):
    """
    @notice Set the occupancy of an area of the sender.
    @param area A number that the sender chooses.
    @param words The step and all states, from the first on; words behind them stay, and pass for this step's.
                 The step never goes back.
    """
    assert len(words) != 0, "status: empty map"
    step: uint256 = words[0] & STEP
    assert step >= self.maps[msg.sender][area][0] & STEP, "status: step went back"
    number: uint256 = 0
    for word: uint256 in words:
        self.maps[msg.sender][area][number] = word
        number = unsafe_add(number, 1)
    log MapSet(publisher=msg.sender, area=area, step=step)


@external
def name_assets(area: uint256, assets: bytes32):
    """
    @notice Say which assets an area's map is about, by the hash of their list.
    """
    self.assets[msg.sender][area] = assets
    log AssetsNamed(publisher=msg.sender, area=area, assets=assets)


@external
@view
def state(publisher: address, area: uint256, position: uint256) -> (uint256, uint256):
    """
    @notice Give the step of a map, and the state of the asset at a position, from 0 on.
    """
    first: uint256 = self.maps[publisher][area][0]
    if position < IN_FIRST:
        return first & STEP, (first >> (FIRST_SHIFT + 4 * position)) & 15
    rest: uint256 = position - IN_FIRST
    word: uint256 = self.maps[publisher][area][1 + rest // 64]
    return first & STEP, (word >> (4 * (rest % 64))) & 15


@external
@view
def map_words(publisher: address, area: uint256, count: uint256) -> DynArray[uint256, MAX_WORDS]:
    """
    @notice Give the first `count` words of a map.
    """
    assert count <= MAX_WORDS, "status: too many words"
    words: DynArray[uint256, MAX_WORDS] = []
    for number: uint256 in range(count, bound=MAX_WORDS):
        words.append(self.maps[publisher][area][number])
    return words

# pragma version 0.4.3
# pragma evm-version cancun
"""
@title AssetRegistry
@license Apache-2.0
@notice Lists the assets of a charging network: EVSEs, inverters, batteries, transformers, households, vehicles.
@dev Anybody registers; the sender owns what it registered. Assets are numbered 1, 2, 3 ... without gaps,
     so nobody chooses a number, and the station code that follows from it cannot be squatted.
     No slot holds the counter: the first free number is found from a number that is taken,
     which saves 2,900 gas and keeps registrations from queueing for one word.
@custom:units rating in W; position in microdegrees, shifted to be unsigned; price in micro-currency per kWh
@custom:holds no funds
@custom:stop none needed: every owner changes or retires its own assets only; no admin, no upgrade
"""

MAX_URL: constant(uint256) = 200
MAX_WALK: constant(uint256) = 64  # numbers that others may take while a registration is under way

OWNER: constant(uint256) = 2**160 - 1
KIND_SHIFT: constant(uint256) = 160
LIFECYCLE_SHIFT: constant(uint256) = 168
LATITUDE_SHIFT: constant(uint256) = 160
LATITUDE: constant(uint256) = 2**28 - 1
LONGITUDE_SHIFT: constant(uint256) = 188
LONGITUDE: constant(uint256) = 2**29 - 1
PRICE_SHIFT: constant(uint256) = 217
PRICE: constant(uint256) = 2**32 - 1
PLACE_END: constant(uint256) = 249

MAX_LATITUDE: constant(uint256) = 180_000_000
MAX_LONGITUDE: constant(uint256) = 360_000_000

event Registered:
    asset: indexed(uint256)
    owner: indexed(address)

event Updated:
    asset: indexed(uint256)
    owner: indexed(address)

event BaseUrlSet:
    owner: indexed(address)
    url: String[MAX_URL]

# owner 160 | kind 8 | lifecycle 8 | connector 8 | rating W 32 | group 40, from the low bit up
facts: HashMap[uint256, uint256]
# deposit address 160 | latitude + 90 degrees 28 | longitude + 180 degrees 29 | price 32 | zero 7
places: HashMap[uint256, uint256]
# hash of the full record, which the owner's base URL serves
records: HashMap[uint256, bytes32]
base_url: public(HashMap[address, String[MAX_URL]])


@external
def register(after: uint256, facts: uint256, place: uint256, record: bytes32) -> uint256:
    """
    @notice Register an asset of the sender under the first free number behind `after`.
    @param after A number that is taken, best the newest; 0 in a young registry.
    @param facts The facts word with an empty owner.
    @param place The place word.
    @param record Hash of the full record.
    @return The asset's number.
    """
    assert facts & OWNER == 0, "registry: owner is the sender"
    assert (facts >> KIND_SHIFT) & 255 != 0, "registry: no kind"
    self._check_place(place)
    assert after == 0 or self.facts[after] != 0, "registry: number not taken"
    asset: uint256 = after + 1
    free: bool = False
    for _: uint256 in range(MAX_WALK):
        if self.facts[asset] == 0:
            free = True
            break
        asset += 1
    assert free, "registry: too far behind"
    self.facts[asset] = facts | convert(msg.sender, uint256)
    self.places[asset] = place
    self.records[asset] = record
    log Registered(asset=asset, owner=msg.sender)
    return asset


@external
def update(asset: uint256, facts: uint256, place: uint256, record: bytes32):
    """
    @notice Replace what is known of an asset of the sender; its kind stays.
    """
    assert facts & OWNER == 0, "registry: owner is the sender"
    old: uint256 = self._owned(asset)
    assert (facts ^ old) >> KIND_SHIFT & 255 == 0, "registry: kind is fixed"
    self._check_place(place)
    self.facts[asset] = facts | convert(msg.sender, uint256)
    self.places[asset] = place
    self.records[asset] = record
    log Updated(asset=asset, owner=msg.sender)


@external
def set_price(asset: uint256, price: uint256):
    """
    @notice Set the price of an asset of the sender.
    @param price Micro-currency per kWh, below 2**32.
    """
    self._owned(asset)
    assert price <= PRICE, "registry: price too high"
    place: uint256 = self.places[asset]
    self.places[asset] = (place & ~(PRICE << PRICE_SHIFT)) | (price << PRICE_SHIFT)
    log Updated(asset=asset, owner=msg.sender)


@external
def set_lifecycle(asset: uint256, lifecycle: uint256):
    """
    @notice Set the lifecycle of an asset of the sender.
    @param lifecycle 0 planned, 1 in service, 2 out of service, 3 retired; others are reserved.
    """
    facts: uint256 = self._owned(asset)
    assert lifecycle <= 255, "registry: no such lifecycle"
    self.facts[asset] = (facts & ~(255 << LIFECYCLE_SHIFT)) | (lifecycle << LIFECYCLE_SHIFT)
    log Updated(asset=asset, owner=msg.sender)


@external
def set_record(asset: uint256, record: bytes32):
    """
    @notice Set the hash of the full record of an asset of the sender.
    """
    self._owned(asset)
    self.records[asset] = record
    log Updated(asset=asset, owner=msg.sender)


@external
def set_base_url(url: String[MAX_URL]):
    """
    @notice Say where the sender serves its records and its API.
    """
    self.base_url[msg.sender] = url
    log BaseUrlSet(owner=msg.sender, url=url)


@external
@view
def asset(asset: uint256) -> (uint256, uint256, bytes32):
    """
    @notice Give the facts word, the place word and the record hash; zeros for a free number.
    """
    return self.facts[asset], self.places[asset], self.records[asset]


@external
@view
def newest() -> uint256:
    """
    @notice Give the newest asset's number; 0 in an empty registry.
    @dev Found by doubling and halving, for reading by eth_call.
    """
    step: uint256 = 1
    for _: uint256 in range(64):
        if self.facts[step] == 0:
            break
        step = step << 1
    taken: uint256 = 0
    for _: uint256 in range(65):
        if step == 0:
            break
        if self.facts[taken + step] != 0:
            taken += step
        step = step >> 1
    return taken


@internal
@view
def _owned(asset: uint256) -> uint256:
    facts: uint256 = self.facts[asset]
    assert facts != 0, "registry: no such asset"
    assert facts & OWNER == convert(msg.sender, uint256), "registry: not the owner"
    return facts


@internal
@pure
def _check_place(place: uint256):
    assert (place >> LATITUDE_SHIFT) & LATITUDE <= MAX_LATITUDE, "registry: no such latitude"
    assert (place >> LONGITUDE_SHIFT) & LONGITUDE <= MAX_LONGITUDE, "registry: no such longitude"
    assert place >> PLACE_END == 0, "registry: malformed place"

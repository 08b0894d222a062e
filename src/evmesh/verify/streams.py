"""Check streams: that statements stand under a head, that the head is on chain, that nothing was rewritten.

What the chain says comes in as plain values; whoever trusts these checks trusts that node.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from evmesh.domain.canonical import canonical_cbor
from evmesh.domain.commitment import Stream
from evmesh.domain.commitment_proof import ProvenLeaf, ProvenStream, StreamList, StreamProof
from evmesh.domain.nouns import counted, leaves
from evmesh.domain.trust import Trust
from evmesh.verify.merkle import root_from_inclusion_proof, verify_consistency
from evmesh.verify.report import OFFLINE, Finding, NotChecked, require


@dataclass(frozen=True, slots=True)
class HeadOnChain:
    """A head of a stream; `at` is its block's time in seconds since 1970, where that is known."""

    size: int
    root: bytes
    at: int | None = None


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """What the chain says on streams of one publisher.

    `newest` has size 0 before the first anchor. `logs` are all heads that the node still has logs of,
    oldest first; None where it gives no such logs. Where `chain_id` is another than that of what is
    checked, or no notary answers there, the rest means nothing.
    """

    chain_id: int
    notary_answers: bool = False
    newest: Mapping[Stream, HeadOnChain] | None = None
    logs: Mapping[Stream, tuple[HeadOnChain, ...] | None] | None = None


def require_facts(document: StreamProof | StreamList, facts: StreamFacts) -> None:
    """Raise IntegrityFailure where the node is of another chain, or has no such notary."""
    named = document.chain.chain_id
    require(
        facts.chain_id == named,
        "chain.other_chain",
        f"the node serves chain {facts.chain_id}",
        "chain.chain_id",
    )
    require(
        facts.notary_answers,
        "chain.not_the_contract",
        "the notary that is named is not there",
        "chain.notary",
    )


def trusted_publisher(document: StreamProof | StreamList, trust: Trust | None) -> Finding:
    """Check that the trust file has chain, contracts and publisher: anybody can anchor anything."""
    if trust is None:
        return NotChecked("no trust file was given: whose heads these are is not known")
    require(document.chain == trust.chain, "trust.other_chain", "another chain or contract", "chain")
    require(
        document.publisher in trust.publishers,
        "trust.unknown_publisher",
        f"{document.publisher} is not a trusted publisher",
        "publisher",
    )
    return f"{document.publisher} is a trusted publisher"


def leaf_of(stream: Stream, leaf: ProvenLeaf) -> bytes:
    """Give the hash of a statement's leaf."""
    stated = canonical_cbor({"stream": stream.value, "payload": leaf.payload})
    return sha256(b"\x00" + leaf.salt + stated).digest()


def require_included(part: ProvenStream, path: str) -> None:
    """Raise IntegrityFailure where a statement's path does not lead to the head that is named."""
    for number, leaf in enumerate(part.leaves):
        root = root_from_inclusion_proof(leaf_of(part.stream, leaf), leaf.index, part.size, leaf.path)
        at = f"{path}.leaves[{number}]"
        require(root == part.root, "merkle.other_root", "the path leads to another root", at)


def anchored(part: ProvenStream, facts: StreamFacts, path: str) -> HeadOnChain | NotChecked:
    """Find the head on chain; raises IntegrityFailure `anchor.other_root` where another stands there."""
    newest, logs = _of(part.stream, facts)
    if newest.size < part.size:
        return NotChecked(
            f"not anchored yet: the newest head has {leaves(newest.size)}, this one {part.size}"
        )
    found = [one for one in logs or () if one.size == part.size]
    if newest.size == part.size:
        found.append(newest)
    if not found:
        return NotChecked(
            f"the newest head has {leaves(newest.size)}, and no log shows one of {part.size}: "
            "ask for a fresh proof, or a node that keeps older logs"
        )
    require(
        {one.root for one in found} == {part.root},
        "anchor.other_root",
        f"another root is anchored at {leaves(part.size)}",
        f"{path}.root",
    )
    return min(found, key=lambda one: one.at is None)


def still_there(part: ProvenStream, facts: StreamFacts | None, path: Sequence[bytes] | None) -> Finding:
    """Check that the newest head on chain only appends to this one: nothing before was rewritten."""
    if facts is None:
        return OFFLINE
    newest, _ = _of(part.stream, facts)
    if newest.size <= part.size:
        return f"the newest head has {leaves(newest.size)}, no more than this one"
    if path is None:
        return NotChecked("the operator was not asked for a consistency proof")
    require(
        verify_consistency(part.size, newest.size, part.root, newest.root, path),
        "anchor.rewritten",
        f"the head of {leaves(newest.size)} does not begin with the {part.size} of this one",
        "root",
    )
    return f"the newest head, of {leaves(newest.size)}, begins with all {part.size} of this one"


def newest_head(listed: StreamList, facts: StreamFacts | None) -> Finding:
    """Check that the list is all of what the newest head on chain covers."""
    if facts is None:
        return OFFLINE
    require_facts(listed, facts)
    newest, _ = _of(listed.stream, facts)
    if not newest.size:
        return NotChecked("nothing of this stream is anchored yet")
    require(
        len(listed.hashes) >= newest.size,
        "list.incomplete",
        f"the chain has a head of {leaves(newest.size)}, and the list shows {len(listed.hashes)}",
        "hashes",
    )
    require(
        roots_at(listed.hashes, [newest.size])[newest.size] == newest.root,
        "anchor.other_root",
        f"up to {leaves(newest.size)} the list has another root than the one on chain",
        "hashes",
    )
    return f"complete: the newest head on chain covers {leaves(newest.size)}, and these are they"


def earlier_heads(listed: StreamList, facts: StreamFacts | None) -> Finding:
    """Check that every head that was ever anchored is one of this very list."""
    if facts is None:
        return OFFLINE
    require_facts(listed, facts)
    _, logs = _of(listed.stream, facts)
    if not logs:
        return NotChecked("the node has no logs of earlier heads")
    known = [one for one in logs if one.size <= len(listed.hashes)]
    roots = roots_at(listed.hashes, [one.size for one in known])
    for one in known:
        require(
            roots.get(one.size) == one.root,
            "anchor.rewritten",
            f"the head anchored at {leaves(one.size)} is none of this list: its past was rewritten",
            "hashes",
        )
    require(
        len(known) == len(logs),
        "list.incomplete",
        f"a head of {leaves(max((one.size for one in logs), default=0))} was anchored",
        "hashes",
    )
    return f"consistent with all {counted(len(known), 'head')} that the node has logs of"


def unanchored(listed: StreamList, facts: StreamFacts | None) -> Finding:
    """Say how many leaves at the end no head covers yet: they can still be changed."""
    if facts is None:
        return OFFLINE
    require_facts(listed, facts)
    newest, _ = _of(listed.stream, facts)
    if newest.size < len(listed.hashes):
        return NotChecked(f"{leaves(len(listed.hashes) - newest.size)} at the end: not anchored yet")
    return "no leaf is without an anchor"


def roots_at(hashes: Sequence[bytes], sizes: Iterable[int]) -> dict[int, bytes]:
    """Give the root over the first `size` leaves, for each of the sizes, in one pass (RFC 9162, 2.1.1)."""
    wanted, found = set(sizes), dict[int, bytes]()
    complete: list[tuple[int, bytes]] = []  # complete subtrees from the left, each wider than the next
    for number, leaf in enumerate(hashes, 1):
        complete.append((1, leaf))
        while len(complete) > 1 and complete[-1][0] == complete[-2][0]:
            (width, right), (_, left) = complete.pop(), complete.pop()
            complete.append((2 * width, _parent(left, right)))
        if number in wanted:
            root = complete[-1][1]
            for _, left in complete[-2::-1]:
                root = _parent(left, root)
            found[number] = root
    return found


def _of(stream: Stream, facts: StreamFacts) -> tuple[HeadOnChain, tuple[HeadOnChain, ...] | None]:
    newest = (facts.newest or {}).get(stream, HeadOnChain(0, bytes(32)))
    return newest, (facts.logs or {}).get(stream)


def _parent(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()

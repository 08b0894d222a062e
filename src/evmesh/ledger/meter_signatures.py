"""ECDSA as signing meters use it. Implements the port MeterSignatures.

All curves of OCMF but secp192k1, which OpenSSL, and so `cryptography`, does not have. RSA, which the
newest OCMF allows, is refused too: no meter with it has been seen.
"""

import re
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from evmesh.domain.errors import IntegrityFailure, InvalidInput, Refused
from evmesh.domain.ocmf_signature import parse_public_key

CURVES: Final[dict[str, type[ec.EllipticCurve]]] = {
    "secp192r1": ec.SECP192R1,
    "secp256k1": ec.SECP256K1,
    "secp256r1": ec.SECP256R1,
    "secp384r1": ec.SECP384R1,
    "secp521r1": ec.SECP521R1,
    "brainpool256r1": ec.BrainpoolP256R1,
    "brainpoolP256r1": ec.BrainpoolP256R1,
    "brainpool384r1": ec.BrainpoolP384R1,
    "brainpoolP384r1": ec.BrainpoolP384R1,
}
"""By the names that the specification and meters use; those with a P are the same curves."""

HASHES: Final[dict[str, type[hashes.HashAlgorithm]]] = {"SHA256": hashes.SHA256, "SHA512": hashes.SHA512}

_ALGORITHM: Final = re.compile(r"ECDSA-([A-Za-z0-9]+)-(SHA[0-9]+)")
_POINT: Final = 0x04
"""The first byte of a point that is not compressed; a SubjectPublicKeyInfo begins with 0x30."""


class EcdsaMeterSignatures:
    """Checks signatures; has no state and no key."""

    def check(self, algorithm: str, key: bytes, payload: bytes, signature: bytes) -> None:
        """Return where the owner of `key` signed `payload`; the port says what is raised otherwise."""
        curve, hash_algorithm = _method(algorithm)
        public_key = _point(curve, key) if key[:1] == bytes([_POINT]) else _public_key(key)
        if not isinstance(public_key.curve, curve):
            raise IntegrityFailure(
                "ocmf.other_curve",
                f"the record names {algorithm}, and the key is on {public_key.curve.name}",
                path="SA",
            )
        try:
            public_key.verify(signature, payload, ec.ECDSA(hash_algorithm()))
        except InvalidSignature as error:
            what = "the owner of this key did not sign this payload"
            raise IntegrityFailure("ocmf.false_signature", what, path="SD") from error
        except UnsupportedAlgorithm as error:
            raise _cannot_check(algorithm) from error


def checked_meter_key(text: bytes) -> bytes:
    """Give a meter's key, a DER SubjectPublicKeyInfo, of hexadecimal, base64 or PEM.

    Raises InvalidInput `ocmf.bad_key` for what is none, and for a bare point, which does not name its curve;
    Refused `ocmf.cannot_check` for a key whose signatures could not be checked here.
    """
    key = parse_public_key(text)
    if key[:1] == bytes([_POINT]):
        raise _bad_key("a point alone does not say on which curve it is")
    curve = _public_key(key).curve
    if not isinstance(curve, tuple(CURVES.values())):
        raise _cannot_check(curve.name)
    return key


def _method(algorithm: str) -> tuple[type[ec.EllipticCurve], type[hashes.HashAlgorithm]]:
    found = _ALGORITHM.fullmatch(algorithm)
    if found is None or found[1] not in CURVES or found[2] not in HASHES:
        raise _cannot_check(algorithm)
    return CURVES[found[1]], HASHES[found[2]]


def _point(curve: type[ec.EllipticCurve], key: bytes) -> ec.EllipticCurvePublicKey:
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(curve(), key)
    except ValueError as error:
        raise _bad_key(f"these {len(key)} bytes are no point of {curve().name}") from error
    except UnsupportedAlgorithm as error:
        raise _cannot_check(curve().name) from error


def _public_key(key: bytes) -> ec.EllipticCurvePublicKey:
    try:
        found = load_der_public_key(key)
    except UnsupportedAlgorithm as error:
        raise _cannot_check("a key on a curve that OpenSSL does not have, as secp192k1,") from error
    except ValueError as error:
        raise _bad_key("these bytes are no public key") from error
    if not isinstance(found, ec.EllipticCurvePublicKey):
        raise _cannot_check(f"a key of the kind {type(found).__name__}")
    return found


def _bad_key(what: str) -> InvalidInput:
    do = "give the key as its maker publishes it: DER in hexadecimal or base64, PEM, or the point"
    return InvalidInput("ocmf.bad_key", what, do=do)


def _cannot_check(what: str) -> Refused:
    return Refused(
        "ocmf.cannot_check",
        f"{what} cannot be checked here",
        do=f"use a program that can; here ECDSA with {' or '.join(HASHES)} is checked on {', '.join(CURVES)}",
    )

"""Signatures of meters, with a key made for each curve, and with pyocmf as an independent oracle."""

import base64
import json
import re

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pyocmf import OCMF

from evmesh.domain.errors import EvmeshError, IntegrityFailure, InvalidInput, Refused
from evmesh.domain.ocmf import OcmfRecord
from evmesh.domain.ocmf_signature import parse_public_key
from evmesh.ledger.meter_signatures import CURVES, EcdsaMeterSignatures
from tests.unit.verify.ocmf_factory import CHARGE, METER, THIEF, der_of, payload_of, point_of, record, signed

CHECKER = EcdsaMeterSignatures()
KEBA = (  # published with the transparency software of S.A.F.E. e.V.
    b'OCMF|{"FV":"1.0","GI":"KEBA_KCP30","GS":"17619300","GV":"2.8.5","PG":"T32","IS":false,"IL":"NONE",'
    b'"IF":["RFID_NONE","OCPP_NONE","ISO15118_NONE","PLMN_NONE"],"IT":"NONE","ID":"","RD":['
    b'{"TM":"2019-08-13T10:03:15,000+0000 I",'
    b'"TX":"B","EF":"","ST":"G","RV":0.2596,"RI":"1-b:1.8.0","RU":"kWh"},'
    b'{"TM":"2019-08-13T10:03:36,000+0000 R",'
    b'"TX":"E","EF":"","ST":"G","RV":0.2597,"RI":"1-b:1.8.0","RU":"kWh"}'
    b']}|{"SD":"304502200E2F107C987A300AC1695CA89EA149A8CDFA16188AF0A33EE64B67964AA943F9'
    b'022100889A72B6D65364BEA8562E7F6A0253157ACFF84FE4929A93B5964D23C4265699"}'
)
KEBA_KEY = (
    "3059301306072A8648CE3D020106082A8648CE3D030107034200043AEEB45C392357820A58FDFB0857BD77ADA31585C61C43"
    "0531DFA53B440AFBFDD95AC887C658EA55260F808F55CA948DF235C2108A0D6DC7D4AB1A5E1A7955BE"
)
HASHES = {"SHA256": hashes.SHA256(), "SHA512": hashes.SHA512()}


def check(raw: bytes, key: bytes) -> None:
    found = OcmfRecord.parse(raw)
    CHECKER.check(found.signature.algorithm, key, found.payload, found.signature.data)


def test_a_published_record_of_a_real_meter_is_true_and_one_changed_digit_is_not() -> None:
    key = parse_public_key(KEBA_KEY.encode())
    check(KEBA, key)
    with pytest.raises(IntegrityFailure, match=r"ocmf\.false_signature"):
        check(KEBA.replace(b"0.2597", b"0.2598"), key)


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("hash_name", HASHES)
def test_every_curve_is_checked_and_the_oracle_agrees(name: str, hash_name: str) -> None:
    key = ec.generate_private_key(CURVES[name]())
    algorithm = f"ECDSA-{name}-{hash_name}"
    raw = signed(payload_of(CHARGE), key, algorithm, HASHES[hash_name])
    false = raw.replace(b"2935.6", b"2935.5")
    for public_key in (der_of(key), point_of(key)):
        check(raw, public_key)
        with pytest.raises(IntegrityFailure, match=r"ocmf\.false_signature"):
            check(false, public_key)
    if name.startswith("brainpool"):
        return  # pyocmf compares the name that the record has for the curve with OpenSSL's, which differ
    assert OCMF.from_string(raw.decode()).verify_signature(der_of(key).hex())
    assert not OCMF.from_string(false.decode()).verify_signature(der_of(key).hex())


def test_the_default_is_p256_with_sha256() -> None:
    check(record(), der_of(METER))
    check(signed(payload_of(CHARGE), METER, "ECDSA-secp256r1-SHA256"), der_of(METER))
    with pytest.raises(IntegrityFailure, match=r"ocmf\.false_signature"):
        check(record(), der_of(THIEF))


def test_a_signature_in_base64_is_the_same_signature() -> None:
    found = OcmfRecord.parse(record())
    section = {
        "SE": "base64",
        "SM": "application/x-der",
        "SD": base64.b64encode(found.signature.data).decode(),
    }
    raw = b"OCMF|" + found.payload + b"|" + json.dumps(section).encode()
    check(raw, der_of(METER))
    assert OcmfRecord.parse(raw).signature == found.signature


@pytest.mark.parametrize(
    "algorithm",
    ["ECDSA-secp192k1-SHA256", "RSA-2048-SHA256", "ECDSA-secp256r1-SHA1", "ECDSA-x-SHA256", "none"],
)
def test_an_algorithm_that_cannot_be_checked_is_refused_by_its_name(algorithm: str) -> None:
    raw = signed(payload_of(CHARGE), METER, algorithm)
    with pytest.raises(Refused, match=f"{re.escape(algorithm)} cannot be checked here") as refused:
        check(raw, der_of(METER))
    assert "brainpool384r1" in refused.value.do


def test_a_key_on_another_curve_is_not_the_one_of_the_record() -> None:
    other = der_of(ec.generate_private_key(ec.SECP256K1()))
    with pytest.raises(IntegrityFailure, match=r"ocmf\.other_curve"):
        check(record(), other)


def test_keys_beyond_the_library_are_refused_and_what_is_no_key_is_named() -> None:
    public = rsa.generate_private_key(65_537, 2_048).public_key()
    with pytest.raises(Refused, match="RSAPublicKey"):
        check(record(), public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    # SubjectPublicKeyInfo of the generator of secp192k1 (SEC 2, section 2.2.1; OID 1.3.132.0.31)
    secp192k1 = bytes.fromhex(
        "3046301006072a8648ce3d020106052b8104001f033200"
        "04db4ff10ec057e9ae26b07d0280b7f4341da5d1b1eae06c7d9b2f2f6d9c5628a7844163d015be86344082aa88d95e2f9d"
    )
    with pytest.raises(Refused, match="secp192k1"):
        check(record(), secp192k1)
    for rubbish in (b"\x30\x00", b"\x04" + bytes(64), b"\x04" + bytes(10), b"?", point_of(METER)[:-1]):
        with pytest.raises(InvalidInput, match=r"ocmf\.bad_key"):
            check(record(), rubbish)


def test_a_key_is_read_from_hex_base64_pem_and_its_bytes() -> None:
    der = der_of(METER)
    pem = METER.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for raw in (der.hex().encode(), der.hex().upper().encode() + b"\n", base64.b64encode(der), pem, der):
        assert parse_public_key(raw) == der
    for rubbish in (b"", b"not a key!", bytes(10_000)):
        with pytest.raises(InvalidInput, match=r"ocmf\.bad_key"):
            parse_public_key(rubbish)


def test_no_changed_bit_of_a_record_passes() -> None:
    raw, key = record(), der_of(METER)
    check(raw, key)
    for position in range(len(raw)):
        for bit in range(8):
            changed = bytearray(raw)
            changed[position] ^= 1 << bit
            with pytest.raises(EvmeshError):
                check(bytes(changed), key)

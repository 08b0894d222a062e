"""A small certificate authority for one broker: its own certificate, one for each user, and revocation.

    DIR/ca.crt ca.key         the authority (P-256, ten years)
    DIR/crl.pem               what was revoked
    DIR/{name}.crt {name}.key one certificate each; its common name is the user that the broker sees

Source: RFC 5280. Keys are mode 0600 and never leave the directory but by hand.
"""

import ipaddress
import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from evmesh.domain.errors import IntegrityFailure, InvalidInput, Refused
from evmesh.telemetry.topics import checked_name

AUTHORITY_DAYS: Final = 3_650
CERTIFICATE_DAYS: Final = 397
"""What browsers and many libraries accept at most for a server."""
CRL_DAYS: Final = 3_650
"""A broker that finds its list out of date refuses everybody: it is renewed by the next revocation."""
BACKDATED: Final = timedelta(hours=1)
"""For devices whose clock is a little behind."""

Key = ec.EllipticCurvePrivateKey


class Authority:
    """The authority of one directory, made when it is first opened."""

    def __init__(self, directory: Path, now: datetime) -> None:
        self.directory = directory
        self._now = now
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.certificate_path = directory / "ca.crt"
        self.crl_path = directory / "crl.pem"
        key_path = directory / "ca.key"
        if key_path.exists() != self.certificate_path.exists():
            raise IntegrityFailure(
                "pki.half", f"{directory} holds half of an authority", do="restore it from its backup"
            )
        if key_path.exists():
            self._key = _load_key(key_path)
            self._certificate = _load_certificate(self.certificate_path)
        else:
            self._key = ec.generate_private_key(ec.SECP256R1())
            self._certificate = self._sign_own()
            _write_key(key_path, self._key)
            self._write(self.certificate_path, self._certificate)
        if not self.crl_path.exists():
            self._write_crl([])

    def issue_server(self, name: str, hosts: Sequence[str]) -> Path:
        """Make the broker's certificate for host names and addresses; gives its path."""
        names: list[x509.GeneralName] = []
        for host in hosts:
            try:
                names.append(x509.IPAddress(ipaddress.ip_address(host)))
            except ValueError:
                names.append(x509.DNSName(host))
        return self._issue(name, ExtendedKeyUsageOID.SERVER_AUTH, names)

    def issue_client(self, name: str) -> Path:
        """Make a certificate for who connects as `name`; gives its path."""
        return self._issue(name, ExtendedKeyUsageOID.CLIENT_AUTH, [])

    def revoke(self, name: str) -> None:
        """Put a certificate on the list of those that nobody accepts, and its files out of the way."""
        path = self.directory / f"{checked_name(name)}.crt"
        if not path.exists():
            raise InvalidInput("pki.unknown", f"there is no certificate of {name}", path="name")
        serial = _load_certificate(path).serial_number
        known = [one.serial_number for one in self._load_crl()]
        self._write_crl([*known, serial])
        for file in (path, self.directory / f"{name}.key"):
            file.rename(file.with_suffix(f"{file.suffix}.revoked-{serial:x}"))

    def is_revoked(self, certificate: Path) -> bool:
        """Say whether the list names this certificate."""
        serial = _load_certificate(certificate).serial_number
        return any(one.serial_number == serial for one in self._load_crl())

    def _issue(self, name: str, usage: x509.ObjectIdentifier, names: Sequence[x509.GeneralName]) -> Path:
        path = self.directory / f"{checked_name(name)}.crt"
        if path.exists():
            raise Refused(
                "pki.taken", f"{name} has a certificate already", do=f"revoke it first, or use {path.name}"
            )
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            self._builder(name, key.public_key(), CERTIFICATE_DAYS)
            .issuer_name(self._certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(_usage(is_authority=False), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        _write_key(path.with_suffix(".key"), key)
        self._write(path, builder.sign(self._key, hashes.SHA256()))
        return path

    def _sign_own(self) -> x509.Certificate:
        return (
            self._builder("evmesh authority", self._key.public_key(), AUTHORITY_DAYS)
            .issuer_name(_subject("evmesh authority"))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(is_authority=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def _builder(self, name: str, key: ec.EllipticCurvePublicKey, days: int) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(_subject(name))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - BACKDATED)
            .not_valid_after(self._now + timedelta(days=days))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )

    def _load_crl(self) -> x509.CertificateRevocationList:
        found = x509.load_pem_x509_crl(self.crl_path.read_bytes())
        if not found.is_signature_valid(self._key.public_key()):
            raise IntegrityFailure("pki.crl", f"{self.crl_path} is not signed by this authority")
        return found

    def _write_crl(self, serials: Sequence[int]) -> None:
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._certificate.subject)
            .last_update(self._now - BACKDATED)
            .next_update(self._now + timedelta(days=CRL_DAYS))
        )
        for serial in serials:
            revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(self._now)
            builder = builder.add_revoked_certificate(revoked.build())
        self._write(self.crl_path, builder.sign(self._key, hashes.SHA256()))

    @staticmethod
    def _write(path: Path, signed: x509.Certificate | x509.CertificateRevocationList) -> None:
        temporary = path.with_name(path.name + ".new")
        temporary.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        temporary.replace(path)


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


def _write_key(path: Path, key: Key) -> None:
    raw = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(raw)


def _load_key(path: Path) -> Key:
    try:
        found = serialization.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise IntegrityFailure("pki.bad_key", f"{path} is no private key") from error
    if not isinstance(found, ec.EllipticCurvePrivateKey):
        raise IntegrityFailure("pki.bad_key", f"{path} is no key of an elliptic curve")
    return found


def _load_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as error:
        raise IntegrityFailure("pki.bad_certificate", f"{path} is no certificate") from error

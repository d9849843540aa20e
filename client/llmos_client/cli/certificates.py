"""A small certificate authority: one CA, a server and a client, as files in PEM.

ECDSA on P-256, as every TLS speaks it. The CA holds for ten years, a certificate for 397 days, the
most that browsers accept; all are dated an hour back, for clocks that are slow.
"""

import ipaddress
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from llmos_client.errors import FeatureUnavailableError, InvalidFieldError

_CA_DAYS, _CERTIFICATE_DAYS = 3650, 397
_EARLIER = timedelta(hours=1)
_LONGEST_NAME = 64  # of a CN
_USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
    "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


def make_certificates(folder: Path, hosts: Sequence[str], client: str) -> list[Path]:
    """Write ca.pem, server.pem and client.pem, each with its -key.pem, into a folder.

    A CA that is there is kept; the other files are made anew. Keys are for their owner only.

    Returns:
        What was written.

    Raises:
        FeatureUnavailableError: the package cryptography is not installed.
        InvalidFieldError: a name that no certificate can have, or a CA that cannot be read.
        OSError: the folder cannot be written.
    """
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise FeatureUnavailableError(
            "certificates are made with a package that is not installed; try: "
            "pip install 'llmos[certs]'",
            code="FAILED_PRECONDITION",
        ) from None
    for name in (*hosts, client):
        if not 0 < len(name) <= _LONGEST_NAME or not name.isascii() or not name.isprintable():
            raise InvalidFieldError(
                f"{name!r}: a name has 1 to 64 printable ASCII characters", code="INVALID_ARGUMENT"
            )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    written: list[Path] = []
    ca, ca_key = _authority(folder, written)
    for file, names, usage in (
        ("server", hosts, "SERVER_AUTH"),
        ("client", (client,), "CLIENT_AUTH"),
    ):
        key = _new_key()
        _write_pair(folder, file, _signed(names, usage, key, ca, ca_key), key, written)
    return written


def _authority(folder: Path, written: list[Path]) -> tuple[Any, Any]:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    path, key_path = folder / "ca.pem", folder / "ca-key.pem"
    if path.exists() and key_path.exists():
        try:
            return (
                x509.load_pem_x509_certificate(path.read_bytes()),
                serialization.load_pem_private_key(key_path.read_bytes(), password=None),
            )
        except (ValueError, TypeError):
            raise InvalidFieldError(
                f"{path}, {key_path}: not a CA in PEM; choose another --dir",
                code="INVALID_ARGUMENT",
            ) from None
    key = _new_key()
    name = _name("llmos CA")
    usage = x509.KeyUsage(**{each: each in ("key_cert_sign", "crl_sign") for each in _USAGES})
    builder = _builder(name, name, key, _CA_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    certificate = _sign(builder.add_extension(usage, critical=True), key)
    _write_pair(folder, "ca", certificate, key, written)
    return certificate, key


def _signed(names: Sequence[str], usage: str, key: Any, ca: Any, ca_key: Any) -> Any:
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    purpose = x509.ExtendedKeyUsage([getattr(ExtendedKeyUsageOID, usage)])
    alternatives = x509.SubjectAlternativeName([_alternative(each) for each in names])
    none = x509.BasicConstraints(ca=False, path_length=None)
    builder = _builder(_name(names[0]), ca.subject, key, _CERTIFICATE_DAYS)
    builder = builder.add_extension(none, critical=True)
    builder = builder.add_extension(purpose, critical=False)
    return _sign(builder.add_extension(alternatives, critical=False), ca_key)


def _alternative(name: str) -> Any:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(subject: Any, issuer: Any, key: Any, days: int) -> Any:
    from cryptography import x509

    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + timedelta(days=days))
    )


def _sign(builder: Any, key: Any) -> Any:
    from cryptography.hazmat.primitives import hashes

    return builder.sign(key, hashes.SHA256())


def _name(common: str) -> Any:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _new_key() -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _write_pair(folder: Path, file: str, certificate: Any, key: Any, written: list[Path]) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    # A daemon that reads between the two sees that they do not fit, and waits.
    for name, data, mode in (
        (f"{file}-key.pem", secret, 0o600),
        (f"{file}.pem", certificate.public_bytes(Encoding.PEM), 0o644),
    ):
        _replace(folder / name, data, mode)
        written.append(folder / name)


def _replace(path: Path, data: bytes, mode: int) -> None:
    scratch = path.with_name(f".{path.name}.new")
    scratch.unlink(missing_ok=True)
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)

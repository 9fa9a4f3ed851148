"""Who a client is follows from its credentials, and from nothing that somebody types."""

import getpass
import os
import pwd
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    pkcs12,
)
from cryptography.x509.oid import NameOID

from pipeline.errors import ConfigError
from pipeline.kafka.principal import principal_of

KEY = ec.generate_private_key(ec.SECP256R1())
SSL = {"security.protocol": "SSL"}


def certificate(*names: tuple[Any, str]) -> x509.Certificate:
    """Signed by itself; who signed it is for the brokers to judge."""
    subject = x509.Name([x509.NameAttribute(oid, text) for oid, text in names])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(KEY, hashes.SHA256())
    )


EVA = certificate((NameOID.COMMON_NAME, "eva"), (NameOID.ORGANIZATION_NAME, "support"))
PEM = EVA.public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    ("client", "name"),
    [
        (
            {"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "sasl.username": "eva"},
            "eva",
        ),
        (
            {
                "security.protocol": "sasl_plaintext",
                "sasl.mechanisms": "SCRAM-SHA-512",
                "sasl.username": "eva",
            },
            "eva",
        ),
        (
            {
                "security.protocol": "SASL_SSL",
                "sasl.mechanism": "OAUTHBEARER",
                "sasl.oauthbearer.client.id": "support-desk",
            },
            "support-desk",
        ),
        ({"security.protocol": "SASL_SSL", "sasl.kerberos.principal": "eva"}, "eva"),
        (SSL | {"ssl.certificate.pem": PEM.decode()}, "eva"),
    ],
)
def test_the_name_is_that_of_the_credentials(client: dict[str, Any], name: str) -> None:
    assert principal_of(client) == name


def test_a_certificate_may_lie_in_a_file_or_a_key_store(tmp_path: Path) -> None:
    pem, store = tmp_path / "eva.pem", tmp_path / "eva.p12"
    pem.write_bytes(PEM)
    sealed = BestAvailableEncryption(b"secret")
    store.write_bytes(pkcs12.serialize_key_and_certificates(b"eva", KEY, EVA, None, sealed))
    assert principal_of(SSL | {"ssl.certificate.location": str(pem)}) == "eva"
    keystore = SSL | {"ssl.keystore.location": str(store)}
    assert principal_of(keystore | {"ssl.keystore.password": "secret"}) == "eva"
    with pytest.raises(ConfigError, match="cannot be read"):
        principal_of(keystore | {"ssl.keystore.password": "other"})
    with pytest.raises(ConfigError, match="cannot be read"):
        principal_of(SSL | {"ssl.certificate.location": str(tmp_path / "none.pem")})


@pytest.mark.parametrize(
    "client",
    [
        {"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN"},
        SSL
        | {
            "ssl.certificate.pem": certificate((NameOID.ORGANIZATION_NAME, "x"))
            .public_bytes(Encoding.PEM)
            .decode()
        },
    ],
)
def test_credentials_without_a_name_are_refused(client: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="name nobody"):
        principal_of(client)


@pytest.mark.parametrize(
    "client", [{}, SSL, {"sasl.username": "eva"}, {"security.protocol": "PLAINTEXT"}]
)
def test_without_credentials_it_is_the_user_of_the_system_and_marked(
    client: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER", "somebody-else")
    monkeypatch.setenv("LOGNAME", "somebody-else")
    assert getpass.getuser() == "somebody-else"
    assert principal_of(client) == f"local:{pwd.getpwuid(os.getuid()).pw_name}"


def test_a_user_without_a_name_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 987_654_321)
    assert principal_of({}) == "local:uid-987654321"

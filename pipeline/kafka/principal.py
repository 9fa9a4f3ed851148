"""Who the brokers take a client for.

Owns: the principal that the settings of a client log in with.
Does not own: what that principal may do (topics.yaml), who a token is of (api/http/auth.py).
Invariants: it follows from credentials, and never from what somebody types beside them; where there
are none, as on a local stack, the user of the operating system stands in and is marked as such.
"""

import os
import pwd
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from pipeline.core.texts import is_id
from pipeline.errors import ConfigError

LOCAL: Final = "local:"
"""Begins the name of somebody whom no broker has checked."""

_FIX: Final = "check the `kafka` settings; `awaway worker --show-config` prints them"


def principal_of(client: Mapping[str, Any]) -> str:
    """Return the name under which a client logs in.

    Args:
        client: librdkafka settings, as `Settings.kafka_client` gives them.

    Returns:
        With SASL the user name, or the client id or the Kerberos principal; with TLS the common
        name of the client's certificate; else `local:` and the user of the operating system.

    Raises:
        ConfigError: there are credentials, but no name in them.
    """
    protocol = str(client.get("security.protocol", "plaintext")).lower()
    name: str | None = None
    if protocol.startswith("sasl"):
        name = _sasl_name(client)
    elif protocol == "ssl":
        name = _certificate_name(client)
    if name is None:
        name = f"{LOCAL}{_system_user()}"
    if not is_id(name):
        raise ConfigError("the credentials name nobody", why="the name is empty", fix=_FIX)
    return name


def _sasl_name(client: Mapping[str, Any]) -> str:
    mechanism = str(client.get("sasl.mechanism") or client.get("sasl.mechanisms") or "GSSAPI")
    names = {
        "GSSAPI": ("sasl.kerberos.principal",),
        "OAUTHBEARER": ("sasl.oauthbearer.client.id",),
    }.get(mechanism.upper(), ("sasl.username",))
    return next((str(client[name]) for name in names if client.get(name)), "")


def _certificate_name(client: Mapping[str, Any]) -> str | None:
    """The common name; None where the client shows no certificate."""
    try:
        certificate = _certificate(client)
    except (OSError, ValueError) as error:
        raise ConfigError(
            "the client's certificate cannot be read", why=str(error), fix=_FIX
        ) from error
    if certificate is None:
        return None
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def _certificate(client: Mapping[str, Any]) -> x509.Certificate | None:
    if pem := client.get("ssl.certificate.pem"):
        return x509.load_pem_x509_certificate(str(pem).encode())
    if file := client.get("ssl.certificate.location"):
        return x509.load_pem_x509_certificate(Path(str(file)).read_bytes())
    if file := client.get("ssl.keystore.location"):
        password = client.get("ssl.keystore.password")
        secret = str(password).encode() if password else None
        return pkcs12.load_key_and_certificates(Path(str(file)).read_bytes(), secret)[1]
    return None


def _system_user() -> str:
    """By the process, not by a variable of its environment."""
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # in a container whose user has no name
        return f"uid-{uid}"

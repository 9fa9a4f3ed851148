"""`awaway token`: a token for development, signed with the API's own shared secret.

Owns: the command's options, the claims of such a token.
Does not own: who may do what (api/http/auth.py), the settings (settings/api.py).
Invariant: it creates nothing that the holder of the secret could not create: without
`AWAWAY_API_AUTH_SECRET` there is no token, and an API that trusts public keys accepts none of them.
"""

from typing import Annotated, Final

import typer

from pipeline import clock
from pipeline.cli.configuration import ConfigOption
from pipeline.cli.output import Output, OutputOption, print_json
from pipeline.errors import EXIT_OK, ConfigError, UsageError

MINUTES_MAX: Final = 24 * 60
KINDS: Final = ("user", "support", "operator", "service")


def command(
    subject: Annotated[str, typer.Argument(help="The user's id, or the caller's name.")],
    *,
    kind: Annotated[str, typer.Option(help="user, support, operator or service.")] = "user",
    scope: Annotated[str, typer.Option(help="A service's scopes, separated by spaces.")] = "",
    minutes: Annotated[int, typer.Option(help="How long it is valid, 1 to 1440.")] = 60,
    config: ConfigOption = None,
    output: OutputOption = Output.TEXT,
) -> int:
    """Create a token for development, and print it.

    It is signed with AWAWAY_API_AUTH_SECRET, for AWAWAY_API_AUTH_ISSUER and
    AWAWAY_API_AUTH_AUDIENCE: the same settings that the API is started with. In production an
    identity provider issues the tokens and the API trusts its public keys; then this command
    creates nothing.
    """
    import jwt  # noqa: PLC0415 - slow to import

    from pipeline.settings.api import ApiSettings  # noqa: PLC0415
    from pipeline.settings.load import load_settings_of  # noqa: PLC0415

    if kind not in KINDS:
        raise UsageError(f"no kind is called {kind!r}", fix=f"one of {', '.join(KINDS)}")
    if not 1 <= minutes <= MINUTES_MAX:
        raise UsageError(f"{minutes} minutes", fix=f"1 to {MINUTES_MAX}")
    settings = load_settings_of(ApiSettings, config)
    if settings.api_auth_secret is None or not settings.api_auth_issuer:
        raise ConfigError(
            "there is nothing to sign with",
            fix="set AWAWAY_API_AUTH_SECRET (32 bytes and up) and AWAWAY_API_AUTH_ISSUER as for "
            "the API; or ask your identity provider",
        )
    now_s = clock.now_ms() // 1000
    ends_s = now_s + minutes * 60
    claims: dict[str, str | int] = {
        "sub": subject,
        "iss": settings.api_auth_issuer,
        "aud": settings.api_auth_audience,
        "iat": now_s,
        "exp": ends_s,
        "awaway_kind": kind,
    }
    if scope:
        claims["scope"] = scope
    made = jwt.encode(claims, settings.api_auth_secret.get_secret_value(), "HS256")
    if output is Output.JSON:
        print_json({"token": made, "expires_at": clock.rfc3339(ends_s * 1000)})
    else:
        typer.echo(made)
    return EXIT_OK

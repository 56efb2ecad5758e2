"""Who may come in, and who it is: OAuth and client identification."""

from pydantic import model_validator

from nexus.config.base import Flag, Groups, HeaderName, HttpUrl, Lenient, Section
from nexus.config.duration import Interval


class ProtectedResource(Section):
    """What the metadata document says about this server."""

    resource: HttpUrl
    """Public URL of this server, as clients ask tokens for it."""
    authorization_servers: tuple[HttpUrl, ...]
    """Servers that issue tokens for it."""


class IssuerConfig(Section):
    """Somebody who issues tokens."""

    url: HttpUrl
    """Where the signing keys (JWKS) are."""
    poll_interval: Interval | None = None
    """How long fetched keys are used; forever if unset."""
    expected_issuer: str | None = None
    """Required `iss` of a token; any if unset."""
    expected_audience: str | None = None
    """Required member of a token's `aud`; any if unset."""
    allow_hmac: Flag = False
    """Believe tokens signed with a shared secret (HS256, HS384, HS512) among the keys."""


class OAuthConfig(IssuerConfig):
    """Require a bearer token on every request."""

    issuers: tuple[IssuerConfig, ...] = ()
    """Further issuers whose tokens are believed."""
    protected_resource: ProtectedResource
    """What the metadata document says about this server."""


class IdentitySource(Lenient):
    """Where an identity is read from: a claim or a header. The claim wins if both are named."""

    jwt_claim: str | None = None
    """Claim of the token, nested with dots."""
    http_header: HeaderName | None = None
    """Header of the request."""

    @model_validator(mode="after")
    def _one_of(self) -> "IdentitySource":
        if self.jwt_claim is None and self.http_header is None:
            raise ValueError(
                'expected { jwt_claim = "…" } or { http_header = "…" }: did not match any variant'
            )
        return self


class IdentityValidation(Section):
    """What identities are accepted."""

    group_values: Groups = frozenset()
    """Groups that exist; a client in any other is refused."""


class ClientIdentification(Section):
    """Know the client of each request, for limits and access."""

    enabled: Flag = False
    """Whether every request must carry an identity."""
    client_id: IdentitySource = IdentitySource(jwt_claim="sub")
    """Where the client's identity is read from."""
    group_id: IdentitySource | None = None
    """Where the client's group is read from."""
    validation: IdentityValidation = IdentityValidation()
    """What identities are accepted."""

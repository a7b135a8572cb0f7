"""Read the optional settings of the connection to Genesys Cloud."""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from messaging.environment import Environment
from messaging.errors import ConfigurationError

DOMAINS: Final = {
    "us-east-1": "mypurecloud.com",
    "us-east-2": "use2.us-gov-pure.cloud",
    "us-west-2": "usw2.pure.cloud",
    "ca-central-1": "cac1.pure.cloud",
    "mx-central-1": "mxc1.pure.cloud",
    "sa-east-1": "sae1.pure.cloud",
    "eu-west-1": "mypurecloud.ie",
    "eu-west-2": "euw2.pure.cloud",
    "eu-central-1": "mypurecloud.de",
    "eu-central-2": "euc2.pure.cloud",
    "eusc-de-east-1": "edee1.eusc-pure.cloud",
    "me-central-1": "mec1.pure.cloud",
    "ap-south-1": "aps1.pure.cloud",
    "ap-southeast-1": "apse1.pure.cloud",
    "ap-southeast-2": "mypurecloud.com.au",
    "ap-northeast-1": "mypurecloud.jp",
    "ap-northeast-2": "apne2.pure.cloud",
    "ap-northeast-3": "apne3.pure.cloud",
}
"""The domain of each region of the platform: PureCloudRegionHosts of the official Python SDK, release 269."""

REQUESTS_PER_MINUTE: Final = 300
"""The platform's default limit for one OAuth client."""

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class GenesysSettings:
    """The addresses of the platform's services, without a trailing slash, and our OAuth client's data."""

    api_url: str
    login_url: str
    client_id: str
    client_secret: str = field(repr=False)
    requests_per_minute: int = REQUESTS_PER_MINUTE


def read_genesys_settings(environment: Environment) -> GenesysSettings | None:
    """Return the platform's settings, or None if neither a region nor an address is set.

    The login service of https://api.DOMAIN is https://login.DOMAIN. Any other API host must serve logins too.
    """
    region = environment.string("OM_GENESYS_REGION")
    domain = DOMAINS.get(region, region)
    if region and domain not in DOMAINS.values():
        raise ConfigurationError(f"OM_GENESYS_REGION must be one of {', '.join(DOMAINS)}")
    api_url = environment.string("OM_GENESYS_API_URL", f"https://api.{domain}" if domain else "").rstrip("/")
    if not api_url:
        return None
    if not is_safe(api_url):
        raise ConfigurationError("OM_GENESYS_API_URL must be an https:// address (http:// only on this host)")
    client_id = environment.string("OM_GENESYS_CLIENT_ID")
    client_secret = environment.string("OM_GENESYS_CLIENT_SECRET")
    if not client_id or not client_secret:
        raise ConfigurationError(
            "OM_GENESYS_CLIENT_ID and OM_GENESYS_CLIENT_SECRET must be set if OM_GENESYS_REGION or "
            "OM_GENESYS_API_URL is"
        )
    limit = environment.integer("OM_GENESYS_REQUESTS_PER_MINUTE", REQUESTS_PER_MINUTE, minimum=10)
    login_url = api_url.replace("://api.", "://login.", 1)
    return GenesysSettings(api_url, login_url, client_id, client_secret, limit)


def find_region(name: str) -> str:
    """Return Amazon's name for a region; *name* is that name or the platform's domain for the region."""
    return next((region for region, domain in DOMAINS.items() if domain == name), name)


def is_safe(url: str, *, allows_http: bool = False) -> bool:
    """Return whether secrets may be sent to *url*: over TLS, to this host, or if *allows_http* is true."""
    # urlsplit removes such characters, but other libraries might read a different address.
    if " " in url or not url.isprintable():
        return False
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    is_plain_allowed = parts.scheme == "http" and (allows_http or host in LOOPBACK)
    return bool(host) and (parts.scheme == "https" or is_plain_allowed)

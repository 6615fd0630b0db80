"""PURE. Whose rights an object is written with: a Secret's keys, or the pod's workload identity.

Never the node's: what obstore asks where it is told nothing, the instance's metadata, hands out the node's role.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

from mailport.deliver.secret_values import BadCredentials, without_line_end

# Where EKS Pod Identity's agent answers on each node. They are link-local, and no other such address is asked
POD_IDENTITY_AGENTS = frozenset((ip_address("169.254.170.23"), ip_address("fd00:ec2::23")))


@dataclass(frozen=True, slots=True)
class Keys:
    """An access key, of a Secret."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class WorkloadIdentity:
    """Where temporary keys are asked for, in exchange for a token that is mounted into the pod."""

    config: Mapping[str, str]  # as obstore names it
    url: str  # of who is asked


def read(values: Mapping[str, bytes]) -> Keys:
    """Read a Secret. Raises BadCredentials."""
    found = {}
    for key, value in values.items():
        try:
            found[key] = without_line_end(value).decode("ascii")
        except UnicodeDecodeError as error:
            raise BadCredentials(f"{key} is not ASCII") from error
        if not found[key].isprintable() or " " in found[key]:
            raise BadCredentials(f"{key} has a blank or a control character in it")
    if not found["AWS_ACCESS_KEY_ID"] or not found["AWS_SECRET_ACCESS_KEY"]:
        raise BadCredentials("AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is empty")
    return Keys(found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"], found.get("AWS_SESSION_TOKEN") or None)


def workload_identity(environment: Mapping[str, str], region: str) -> WorkloadIdentity | None:
    """Return the identity that the platform gave this pod by its environment; None where it gave none.

    Web identity is IRSA's (and that of whoever speaks AssumeRoleWithWebIdentity), the other EKS Pod Identity.
    """
    role, token = environment.get("AWS_ROLE_ARN"), environment.get("AWS_WEB_IDENTITY_TOKEN_FILE")
    if role and token:
        url = environment.get("AWS_ENDPOINT_URL_STS") or f"https://sts.{region}.amazonaws.com"
        config = {"role_arn": role, "web_identity_token_file": token, "aws_endpoint_url_sts": url}
        if name := environment.get("AWS_ROLE_SESSION_NAME"):
            config["role_session_name"] = name
        return WorkloadIdentity(config, url)
    url = environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")
    token = environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    if url and token:
        return WorkloadIdentity(
            {"container_credentials_full_uri": url, "container_authorization_token_file": token}, url
        )
    return None


def is_pod_identity_agent(url: str) -> bool:
    """Whether a URL is that of EKS Pod Identity's agent."""
    try:
        return ip_address(urlsplit(url).hostname or "") in POD_IDENTITY_AGENTS
    except ValueError:
        return False

"""PURE. How a request proves who sends it: Authorization (RFC 9110 §11.6.2)."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field

from mailport.deliver.secret_values import BadCredentials, without_line_end

_TOKEN = re.compile(rb"[!-~]+")


@dataclass(frozen=True, slots=True)
class Credentials:
    """The value of Authorization, and what of it may stand in no log."""

    authorization: str = field(default="", repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


def read(values: Mapping[str, bytes]) -> Credentials:
    """Read a Secret: `token` (Bearer, RFC 6750), else `username` and `password` (Basic, RFC 7617).

    Raises BadCredentials.
    """
    values = {key: without_line_end(value) for key, value in values.items()}
    if "token" in values:
        if not _TOKEN.fullmatch(values["token"]):
            raise BadCredentials("the token is empty, or has something else than printable ASCII without blanks")
        token = values["token"].decode()
        return Credentials(f"Bearer {token}", (token,))
    username, password = values["username"], values["password"]
    if not username or b":" in username or re.search(rb"[\x00-\x1f\x7f]", username + password):
        raise BadCredentials("the username is empty or has a colon in it, or there is a control character")
    basic = b64encode(username + b":" + password).decode()
    return Credentials(f"Basic {basic}", (basic, password.decode("utf-8", "replace")))

"""Signed tokens, as ``ckan.lib.api_token`` of CKAN 2.12 reads them."""

from __future__ import annotations

from typing import Any

import jwt
from ckan.lib import api_token


def decode_token(token: str, audience: str) -> dict[str, Any]:
    """Read a token that the portal has signed for a purpose.

    Plugins that read API tokens are not asked: what they accept need not have
    been signed for this purpose.

    :raises jwt.InvalidTokenError: it was not, or its time is over.
    """
    return jwt.decode(
        token,
        api_token._get_secret(encode=False),  # noqa: SLF001 - public only in CKAN 2.12
        algorithms=[api_token._get_algorithm()],  # noqa: SLF001
        audience=audience,
    )

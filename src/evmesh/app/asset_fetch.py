"""Fetching the full record of an asset from where its owner says that it is."""

import asyncio
from typing import Final

import httpx

from evmesh.domain.asset_record import MAX_RECORD_BYTES

_WITHIN_S: Final = 10.0


async def fetch_record(base_url: str, asset: int) -> tuple[bytes | None, str]:
    """Give the bytes at `{base_url}/v1/assets/{asset}`, or None and why; nothing says that they are true.

    The address is a stranger's word: the answer is bounded in size and time, and redirects are not followed.
    """
    if not base_url:
        return None, "the registry names no base URL of the owner"
    url = f"{base_url.rstrip('/')}/v1/assets/{asset}"
    if not url.isprintable() or not url.startswith(("http://", "https://")):
        return None, "the owner's base URL is not one of HTTP"
    try:
        async with asyncio.timeout(_WITHIN_S), httpx.AsyncClient(timeout=_WITHIN_S, trust_env=False) as http:
            return await _get(http, url)
    except TimeoutError:
        return None, f"{url} did not answer within {_WITHIN_S:.0f} s"
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, OSError, ValueError) as error:
        return None, f"{url} does not answer ({type(error).__name__})"


async def _get(http: httpx.AsyncClient, url: str) -> tuple[bytes | None, str]:
    raw = bytearray()
    async with http.stream("GET", url, headers={"Accept-Encoding": "identity"}) as answer:
        if answer.status_code != httpx.codes.OK:
            return None, f"{url} answered {answer.status_code}"
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            return None, f"{url} answers in an encoding that nobody asked for"
        async for part in answer.aiter_raw():
            raw += part
            if len(raw) > MAX_RECORD_BYTES:
                return None, f"{url} gives more than the {MAX_RECORD_BYTES} bytes that a record may have"
    return bytes(raw), ""

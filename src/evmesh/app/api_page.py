"""/docs: the API's own description as one plain page, with nothing loaded from elsewhere."""

from html import escape
from typing import Any

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>evmesh API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<h1>evmesh API</h1>
<p>Errors are problem documents (RFC 9457).
Schemas of all bodies: <a href="/openapi.json">openapi.json</a>.</p>
<dl>{operations}</dl></html>"""


def api_page(openapi: dict[str, Any]) -> str:
    """Give the page for an OpenAPI document."""
    operations = [
        f"<dt><code>{method.upper()} {escape(path)}</code></dt><dd>{escape(_said(operation))}</dd>"
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    ]
    return _PAGE.format(operations="\n".join(operations))


def _said(operation: dict[str, Any]) -> str:
    return str(operation.get("description") or operation.get("summary") or "")

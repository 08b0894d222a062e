"""How the API writes a time."""

from datetime import UTC, datetime


def instant(value: datetime | None) -> str | None:
    """Write a time the way the API does: RFC 3339, UTC, whole seconds."""
    return None if value is None else value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

#!/usr/bin/env python3
"""Fetch uv, the one tool that fetches all others, with nothing but Python's standard library.

A fresh Debian has python3 without pip, ensurepip and curl. This takes the pinned uv wheel from the
package index, checks its SHA-256, and puts the binary at .tools/uv-<version>/uv, whose path it prints. A
second run finds it there and does nothing. The index is $UV_DEFAULT_INDEX, $UV_INDEX_URL, $PIP_INDEX_URL or
`index-url` of pip's configuration, else PyPI; certificates are the system's, $SSL_CERT_FILE or $PIP_CERT.
"""

import configparser
import hashlib
import io
import os
import platform
import re
import ssl
import stat
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from html.parser import HTMLParser
from pathlib import Path

VERSION = "0.13.8"
WHEELS = {  # machine: (file name, SHA-256), as on https://pypi.org/project/uv/#files
    "x86_64": (
        f"uv-{VERSION}-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "e18a57b8b352eb7c8feb317b9f6f533c8f0ad9673fd6cf34bbe3cf1a9f6a8984",
    ),
    "aarch64": (
        f"uv-{VERSION}-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl",
        "0b3e8b1a4f5e405e31e2ff33de8af4744831e9f7338539671efbd8c3c94e791d",
    ),
}
BINARY = f"uv-{VERSION}.data/scripts/uv"
PYPI = "https://pypi.org/simple"
ATTEMPTS = 4
FIRST_PAUSE_S = 1.0
TIMEOUT_S = 60


class BootstrapError(Exception):
    """What went wrong, in words for the person at the terminal."""


def main() -> int:
    """Print the path of a uv binary that is there when this returns 0."""
    if sys.version_info < (3, 11):  # noqa: UP036 - an older Python is who this sentence is for
        print(
            f"evmesh needs Python 3.11 or newer; {sys.executable} is {platform.python_version()}.\n"
            "do: install a newer python3, or name one: make PYTHON=/path/to/python3.12 ...",
            file=sys.stderr,
        )
        return 2
    target = Path(__file__).resolve().parent.parent / ".tools" / f"uv-{VERSION}" / "uv"
    try:
        if not target.exists():
            name, sha256 = wheel_for(platform.system(), platform.machine())
            install(index_url(), name, sha256, target)
    except BootstrapError as error:
        print(f"bootstrap: {error}", file=sys.stderr)
        return 4
    print(target)
    return 0


def wheel_for(system: str, machine: str) -> tuple[str, str]:
    """Choose the wheel of this machine: its file name and SHA-256."""
    if system != "Linux" or machine not in WHEELS:
        raise BootstrapError(
            f"no pinned uv for {system} on {machine}.\n"
            f"do: install uv {VERSION} yourself as .tools/uv-{VERSION}/uv, then run make again"
        )
    return WHEELS[machine]


def install(index: str, name: str, sha256: str, target: Path) -> None:
    """Put the binary of the wheel `name` at `target`, whole or not at all."""
    wheel = _fetch(_file_url(index, name))
    found = hashlib.sha256(wheel).hexdigest()
    if found != sha256:
        raise BootstrapError(
            f"{name} from {_without_password(index)} has SHA-256 {found}, expected {sha256}: not installed.\n"
            "do: find out who stands between you and the package index"
        )
    binary = zipfile.ZipFile(io.BytesIO(wheel)).read(BINARY)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(binary)
        Path(temporary).chmod(stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
        Path(temporary).replace(target)
    finally:
        Path(temporary).unlink(missing_ok=True)


def index_url() -> str:
    """Find the package index that this machine's uv or pip is set up for."""
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        if os.environ.get(name):
            return re.sub(r"^[\w-]+=", "", os.environ[name])  # uv also takes "name=address"
    return _pip_setting("index-url") or PYPI


def _pip_setting(key: str) -> str | None:
    parser = configparser.RawConfigParser()
    # The later file wins, as in pip: site, user, the one that the environment names.
    home = Path.home()
    files = [
        Path("/etc/xdg/pip/pip.conf"),
        Path("/etc/pip.conf"),
        home / ".pip" / "pip.conf",
        Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf",
    ]
    if os.environ.get("PIP_CONFIG_FILE"):
        files.append(Path(os.environ["PIP_CONFIG_FILE"]))
    for file in files:
        try:
            parser.read(file, encoding="utf-8")
        except (OSError, UnicodeDecodeError, configparser.Error) as error:
            print(f"bootstrap: {file} is passed over: {error}", file=sys.stderr)
    return parser.get("global", key, fallback=None)


class _Links(HTMLParser):
    """Collects the links of a "simple" index page (PEP 503), which every index serves."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found += [value for key, value in attrs if key == "href" and value]


def _file_url(index: str, name: str) -> str:
    page = f"{index.rstrip('/')}/uv/"
    links = _Links()
    links.feed(_fetch(page, accept="text/html").decode("utf-8", "replace"))
    for link in links.found:
        url = urllib.parse.urljoin(page, link).split("#")[0]
        if urllib.parse.unquote(url.split("?")[0].rsplit("/", 1)[-1]) == name:
            return url
    raise BootstrapError(
        f"{_without_password(page)} does not list {name}.\ndo: use an index that mirrors PyPI in full"
    )


def _fetch(url: str, accept: str = "*/*") -> bytes:
    """Read a URL, trying again on what passes: a time-out, a reset, a 5xx or 429."""
    address, opener = _opener_for(url)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            request = urllib.request.Request(address, headers={"Accept": accept})
            with opener.open(request, timeout=TIMEOUT_S) as response:
                return bytes(response.read())
        except (OSError, ValueError) as error:  # URLError, HTTPError and time-outs are OSErrors
            status = None
            if isinstance(error, urllib.error.HTTPError):
                status = error.code
                error.close()
            lasting = isinstance(error, ValueError) or (status is not None and status < 500 and status != 429)
            if lasting or attempt == ATTEMPTS:
                raise BootstrapError(
                    f"cannot fetch {_without_password(url)}: {error}.\n"
                    "do: check the network, HTTPS_PROXY, and the index (UV_DEFAULT_INDEX or pip's index-url)"
                ) from error
            time.sleep(FIRST_PAUSE_S * 2 ** (attempt - 1))
    raise AssertionError("unreachable")


def _opener_for(url: str) -> tuple[str, urllib.request.OpenerDirector]:
    """Give the URL without its user and password, and an opener that sends them."""
    context = ssl.create_default_context()  # the system's store, or $SSL_CERT_FILE
    extra = os.environ.get("PIP_CERT") or _pip_setting("cert")
    if extra and Path(extra).is_file():
        context.load_verify_locations(extra)
    handlers: list[urllib.request.BaseHandler] = [urllib.request.HTTPSHandler(context=context)]
    parts = urllib.parse.urlsplit(url)
    if parts.username is None:
        return url, urllib.request.build_opener(*handlers)
    bare = parts._replace(netloc=parts.netloc.rsplit("@", 1)[1]).geturl()
    passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
    user, password = (urllib.parse.unquote(part or "") for part in (parts.username, parts.password))
    passwords.add_password(None, bare, user, password, is_authenticated=True)
    handlers.append(urllib.request.HTTPBasicAuthHandler(passwords))
    return bare, urllib.request.build_opener(*handlers)


def _without_password(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return parts._replace(netloc=parts.netloc.rsplit("@", 1)[-1]).geturl()


if __name__ == "__main__":
    sys.exit(main())

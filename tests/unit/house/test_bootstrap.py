"""The bootstrap, against a real package index: an HTTP server on this machine."""

import hashlib
import io
import os
import stat
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scripts import bootstrap

NAME = "uv-0.0.1-py3-none-any.whl"
PROGRAM = b"#!/bin/sh\necho uv\n"


class Index(ThreadingHTTPServer):
    """Serves `pages` by path; a path in `busy` answers 503 that many times first."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages: dict[str, bytes] = {}
        self.busy: dict[str, int] = {}
        self.authorizations: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/simple"


class _Handler(BaseHTTPRequestHandler):
    server: Index

    def do_GET(self) -> None:
        self.server.authorizations.append(self.headers["Authorization"])
        if self.server.busy.get(self.path, 0):
            self.server.busy[self.path] -= 1
            return self._answer(503, b"busy")
        page = self.server.pages.get(self.path)
        return self._answer(404, b"no") if page is None else self._answer(200, page)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    monkeypatch.setattr(bootstrap, "FIRST_PAUSE_S", 0.001)
    with Index() as server:
        server.pages["/simple/uv/"] = f'<a href="../../files/{NAME}#sha256=0">{NAME}</a>'.encode()
        server.pages[f"/files/{NAME}"] = wheel()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def wheel() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(zipfile.ZipInfo(bootstrap.BINARY), PROGRAM)
    return packed.getvalue()


def sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def test_the_binary_of_the_pinned_wheel_is_installed_and_can_be_run(index: Index, tmp_path: Path) -> None:
    target = tmp_path / "tools" / "uv"
    bootstrap.install(index.url, NAME, sha256(wheel()), target)
    assert target.read_bytes() == PROGRAM
    assert target.stat().st_mode & stat.S_IXUSR
    assert list(target.parent.iterdir()) == [target]


def test_a_wheel_with_another_hash_is_refused_and_leaves_nothing_behind(index: Index, tmp_path: Path) -> None:
    index.pages[f"/files/{NAME}"] = wheel() + b"\0"
    with pytest.raises(bootstrap.BootstrapError, match=r"has SHA-256 \w+, expected"):
        bootstrap.install(index.url, NAME, sha256(wheel()), tmp_path / "uv")
    assert list(tmp_path.iterdir()) == []


def test_an_index_without_the_wheel_is_named(index: Index, tmp_path: Path) -> None:
    with pytest.raises(bootstrap.BootstrapError, match="does not list uv-9"):
        bootstrap.install(index.url, "uv-9-py3-none-any.whl", "", tmp_path / "uv")


def test_an_absent_index_page_is_named_at_once(index: Index, tmp_path: Path) -> None:
    del index.pages["/simple/uv/"]
    with pytest.raises(bootstrap.BootstrapError, match=r"/simple/uv/: HTTP Error 404"):
        bootstrap.install(index.url, NAME, "", tmp_path / "uv")
    assert len(index.authorizations) == 1


def test_a_busy_index_is_asked_again(index: Index, tmp_path: Path) -> None:
    index.busy = {"/simple/uv/": bootstrap.ATTEMPTS - 1}
    bootstrap.install(index.url, NAME, sha256(wheel()), tmp_path / "uv")
    assert (tmp_path / "uv").exists()


def test_an_index_that_stays_busy_is_given_up(index: Index, tmp_path: Path) -> None:
    index.busy = {"/simple/uv/": bootstrap.ATTEMPTS}
    with pytest.raises(bootstrap.BootstrapError, match="503"):
        bootstrap.install(index.url, NAME, sha256(wheel()), tmp_path / "uv")


def test_a_password_in_the_address_is_sent_but_never_printed(index: Index, tmp_path: Path) -> None:
    address = index.url.replace("http://", "http://reader:s3cret@")
    with pytest.raises(bootstrap.BootstrapError) as caught:
        bootstrap.install(address, NAME, "0" * 64, tmp_path / "uv")
    assert "s3cret" not in str(caught.value)
    assert index.authorizations[0] is not None


@pytest.fixture
def no_index_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Give a pip.conf, still empty, that stands in for this machine's settings."""
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    config = tmp_path / "pip.conf"
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    return config


def test_the_index_is_pips_own_where_one_is_configured(no_index_set: Path) -> None:
    no_index_set.write_text("[global]\nindex-url = https://mirror.example/simple\n")
    assert bootstrap.index_url() == "https://mirror.example/simple"


def test_a_broken_pip_configuration_is_told_and_passed_over(
    no_index_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    no_index_set.write_text("index-url = outside of any section\n")
    bootstrap.index_url()
    assert "passed over" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX"])
def test_the_environment_goes_before_the_configuration(
    name: str, no_index_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_index_set.write_text("[global]\nindex-url = https://mirror.example/simple\n")
    monkeypatch.setenv(name, "https://other.example/simple")
    assert bootstrap.index_url() == "https://other.example/simple"


def test_a_named_uv_index_loses_its_name_but_not_its_query(
    no_index_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "mirror=https://other.example/simple")
    assert bootstrap.index_url() == "https://other.example/simple"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://other.example/simple?key=1")
    assert bootstrap.index_url() == "https://other.example/simple?key=1"


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_both_machines_have_a_pinned_wheel(machine: str) -> None:
    name, digest = bootstrap.wheel_for("Linux", machine)
    assert machine in name
    assert len(digest) == 64


def test_another_machine_is_told_what_to_do() -> None:
    with pytest.raises(bootstrap.BootstrapError, match="do: install uv"):
        bootstrap.wheel_for("Plan9", os.uname().machine)

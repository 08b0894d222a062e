"""A small real web server for tests of the page: the built files, and a live stream as the platform sends it.

It stands where the platform would stand, with snapshots that a test chooses; it can go away and come
back on its port.
"""

import json
import mimetypes
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from evmesh.app.changes import changes
from evmesh.app.free_port import free_port

Snapshot = dict[str, Any]

# As strict as the platform may want to be: no inline script or style, nothing from elsewhere.
POLICY = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


class SiteServer:
    """Serves `static` at `/`, what is published at `/v1/events`, and documents where a test puts them."""

    def __init__(self, static: Path) -> None:
        self.static = static
        self.documents: dict[str, bytes] = {}
        """By path, say `/v1/receipts/{id}`."""
        self.problem: dict[str, object] | None = None
        """Answered in place of events while set."""
        self._changed = threading.Condition()
        self._snapshot: Snapshot = {}
        self._interruption: dict[str, object] | None = None
        self._version = 0
        self._serving = 0
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def publish(self, snapshot: Snapshot) -> None:
        """Send `snapshot` to every page that listens, now or later."""
        with self._changed:
            self._snapshot, self._interruption = snapshot, None
            self._version += 1
            self._changed.notify_all()

    def interrupt(self, problem: dict[str, object]) -> None:
        """Tell every page that listens that there is nothing newer just now."""
        with self._changed:
            self._interruption = problem
            self._version += 1
            self._changed.notify_all()

    def start(self) -> None:
        """Listen: on a free port the first time, on the same one ever after."""
        owner = self

        class Handler(_Handler):
            site = owner

        self._port = self._port or free_port()  # which nobody else takes while nothing answers there
        self._server = _Server(("127.0.0.1", self._port), Handler)
        with self._changed:
            self._serving += 1
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def stop(self) -> None:
        """Close the port and every stream; nothing answers until `start`."""
        if self._server is None or self._thread is None:
            return
        with self._changed:
            self._serving += 1
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._server = self._thread = None

    def stream_to(self, handler: "_Handler") -> None:
        """Write the snapshot, then what changes, until the server stops or the page leaves."""
        sent, shown = 0, None
        with self._changed:
            serving = self._serving
            while self._serving == serving:
                if self._version == sent:
                    self._changed.wait()
                    continue
                sent, snapshot = self._version, self._snapshot
                if self._interruption is not None:
                    self._write(handler, "problem", json.dumps(self._interruption))
                elif shown is None:
                    self._write(handler, "snapshot", json.dumps(snapshot))
                else:
                    self._write(handler, "changes", json.dumps(changes(shown, snapshot)))
                shown = snapshot

    def _write(self, handler: "_Handler", name: str, data: str) -> None:
        """Write one event with the lock set aside: a slow page holds up nobody."""
        self._changed.release()
        try:
            handler.wfile.write(f"event: {name}\ndata: {data}\n\n".encode())
            handler.wfile.flush()
        finally:
            self._changed.acquire()


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that closes its connection is no news."""


class _Handler(BaseHTTPRequestHandler):
    site: SiteServer
    protocol_version = "HTTP/1.0"  # the end of a stream is the end of its connection

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/v1/events":
            self._events()
        elif path.startswith("/v1/"):
            self._answer(self.site.documents.get(path), "application/json")
        else:
            self._file(path)

    def _events(self) -> None:
        if self.site.problem is not None:
            self.send_response(HTTPStatus.SERVICE_UNAVAILABLE)
            self.send_header("Content-Type", "application/problem+json")
            self.end_headers()
            self.wfile.write(json.dumps(self.site.problem).encode())
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.site.stream_to(self)

    def _file(self, path: str) -> None:
        file = (self.site.static / path.lstrip("/")).resolve()
        if file.is_dir():
            file /= "index.html"
        inside = file.is_relative_to(self.site.static.resolve()) and file.is_file()
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        self._answer(file.read_bytes() if inside else None, kind)

    def _answer(self, body: bytes | None, kind: str) -> None:
        self.send_response(HTTPStatus.NOT_FOUND if body is None else HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Security-Policy", POLICY)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *args: object) -> None:
        """Tests print nothing."""

"""A web service on this machine; what it answers is said by its subclasses."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, dict[str, Any]]


class Loopback:
    """Serves until it is closed."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Ends the server."""
        self._server.shutdown()
        self._server.server_close()

    def reply(self, request: BaseHTTPRequestHandler, body: bytes) -> Answer:
        """What a request is answered."""
        raise NotImplementedError

    def headers(self, found: dict[str, Any]) -> dict[str, str]:
        """What stands above an answer."""
        return {"Content-Type": "application/json"}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _reply(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, found = service.reply(self, body)
                data = json.dumps(found).encode() if found else b""
                self.send_response(status)
                for name, value in {**service.headers(found), "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_DELETE = _reply  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

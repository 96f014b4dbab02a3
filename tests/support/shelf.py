"""A shelf for notebooks: an HTTP server that gives what was put, and refuses what is forbidden."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Shelf(http.server.BaseHTTPRequestHandler):
    """Keeps what is put, by path."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.kept[self.path])

    def do_PUT(self):
        self.server.kept[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(403 if "forbidden" in self.path else 201)
        self.end_headers()

    def log_message(self, *words):
        pass


@contextmanager
def open_shelf() -> Iterator[http.server.ThreadingHTTPServer]:
    """Serve a shelf; what is on it is its `kept`, by path."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Shelf)
    server.kept = {}
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

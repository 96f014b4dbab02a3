"""A relay to a server's socket that breaks a connection at a chosen moment."""

import contextlib
import socket
import threading
from pathlib import Path
from typing import Literal

#: Before the server has the message, or before the client has the answer.
Moment = Literal["question", "answer"]


class CuttingProxy:
    """Relays a Unix socket of `server` in `folder`, under the same name.

    After `cut_next`, the next connection that sends `word` is broken: its client cannot tell
    whether the server has heard it.
    """

    def __init__(self, folder: Path, server: Path) -> None:
        self.folder = folder
        self._server = server
        self._word = b""
        self._moment: Moment = "question"
        self.cuts = 0
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / server.name))
        self._listener.listen()
        self._spawn(self._accept)

    def cut_next(self, word: bytes, moment: Moment) -> None:
        self._word, self._moment = word, moment

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _spawn(self, target, *args) -> None:
        self._threads.append(threading.Thread(target=target, args=args, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._server))
            self._spawn(self._questions, client, server)
            self._spawn(self._relay, server, client)

    def _questions(self, client: socket.socket, server: socket.socket) -> None:
        for data in _received(client):
            if self._word and self._word in data:
                self._word = b""
                self.cuts += 1
                _close(client)
                if self._moment == "answer":
                    # The server hears it, and then that nobody is there any more.
                    server.sendall(data)
                    server.shutdown(socket.SHUT_WR)
                else:
                    _close(server)
                return
            server.sendall(data)
        _close(server)

    def _relay(self, server: socket.socket, client: socket.socket) -> None:
        for data in _received(server):
            with contextlib.suppress(OSError):
                client.sendall(data)
        _close(client)
        _close(server)


def _received(connection: socket.socket):
    with contextlib.suppress(OSError):
        while data := connection.recv(1 << 16):
            yield data


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()

"""A wire that a test can cut: a relay between two processes that speak TCP."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from typing import Any


class Wire:
    """Relays connections to an address on loopback; every method may be called from anywhere."""

    def __init__(self, target_port: int, port: int = 0) -> None:
        self._target_port = target_port
        self._wanted_port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire")
        self._writers: set[asyncio.StreamWriter] = set()
        self._relays: set[asyncio.Task[None]] = set()
        self._is_cut = False

    @property
    def address(self) -> str:
        """Where to connect, in Dask's words."""
        return f"tcp://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Close all connections, and take no new ones."""
        self._call(self._cut())

    def freeze(self) -> None:
        """Swallow no byte, but pass none on: the connections look alive."""
        self._call(self._set(flowing=False))

    def heal(self) -> None:
        """Be a wire again."""
        self._call(self._set(flowing=True))

    def open(self) -> None:
        self._thread.start()
        self._call(self._open())

    def close(self) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _open(self) -> None:
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._wanted_port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _cut(self) -> None:
        self._is_cut = True
        self._abort()

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _set(self, *, flowing: bool) -> None:
        self._is_cut = False
        if flowing:
            self._flowing.set()
        else:
            self._flowing.clear()

    async def _close(self) -> None:
        self._server.close()
        self._abort()
        self._flowing.set()
        await asyncio.gather(*self._relays, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relay = asyncio.current_task()
        assert relay is not None
        self._relays.add(relay)
        relay.add_done_callback(self._relays.discard)
        if self._is_cut:
            writer.transport.abort()
            return
        with self._kept(writer), contextlib.suppress(OSError):
            there, onward = await asyncio.open_connection("127.0.0.1", self._target_port)
            with self._kept(onward):
                await asyncio.gather(self._relay(reader, onward), self._relay(there, writer))

    @contextlib.contextmanager
    def _kept(self, writer: asyncio.StreamWriter) -> Iterator[None]:
        self._writers.add(writer)
        try:
            yield
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()

"""What a kernel prints is sent in pieces: of bounded size, all of them, and at once."""

from typing import Any


def bound_output() -> None:
    """Let a kernel send what is printed in pieces, lose none of them, and not wait for nothing.

    ipykernel gathers for 0.2 s what is printed, which may be gigabytes, and sends it as one message
    that its receiver must take whole. Here a megabyte is sent at once, and printing waits for that.
    And ZeroMQ drops messages beyond a thousand that the receiver has not taken yet, with the news
    that the cell has ended among them; here it drops none. After each cell ipykernel waits for its
    other thread to send what was printed, also if that is nothing.

    Stands by itself: its source is sent to kernels that were not forked.
    """
    import sys

    from ipykernel.kernelapp import IPKernelApp

    piece = 1_000_000
    thread = IPKernelApp.instance().iopub_thread
    # The socket belongs to its thread.
    thread.io_loop.add_callback(lambda: setattr(thread.socket, "sndhwm", 0))

    def bound(stream: Any) -> None:
        write, flush = stream.write, stream.flush
        pending = 0

        def write_in_pieces(text: Any) -> Any:
            nonlocal pending
            if not isinstance(text, str) or len(text) + pending < piece:
                written = write(text)
                pending += len(text)
                return written
            for start in range(0, len(text), piece):
                write(text[start : start + piece])
                flush()
            pending = 0
            return len(text)

        def flush_if_needed() -> None:
            # What is just being sent is out before anything that is sent after this.
            if stream._buffers:  # noqa: SLF001 - ipykernel's own
                flush()

        stream.write = write_in_pieces
        if hasattr(stream, "_buffers"):
            stream.flush = flush_if_needed

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "pub_thread"):
            bound(stream)

"""A Python kernel answers a signal with where its threads stand, whatever it is busy with."""

#: A signal that nobody else uses: real-time ones have no meaning of their own, and libraries that
#: want some take them from the lower end.
SIGNAL = 60
#: The file in the kernel's private folder to which the answer is written.
ANSWERS = "stacks"


def answer_signal() -> None:
    """Let the kernel write its threads' stacks to a file when it gets the signal.

    `faulthandler` does that in C: neither the interpreter's lock nor what the threads do matters.
    The descriptor is the process's own; programs that it starts do not inherit it.

    Stands by itself: its source is sent to kernels that were not forked.
    """
    import faulthandler
    import os
    import sys

    folder = os.environ.get("NBFLOW_KERNEL")
    if sys.platform != "linux" or folder is None:
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    descriptor = os.open(os.path.join(folder, "stacks"), flags, 0o600)  # noqa: PTH118 - no pathlib
    faulthandler.register(60, file=descriptor, all_threads=True, chain=False)

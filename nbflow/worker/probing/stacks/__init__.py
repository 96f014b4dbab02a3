"""Where the threads of a silent kernel stand: asked from outside, without its cooperation.

A Python kernel has a handler of `faulthandler` for a signal of its own
(`nbflow.kernels.answering`), which writes down all threads at once, in C, whatever Python does.
`KernelStacks` sends that signal to the thread that runs the cells, waits until the handler has
returned, and reads the file.

A signal is not nothing to who receives it: some system calls are broken off by it, whatever its
handler asks for. Python begins them again (PEP 475); compiled code may take that for an error. So a
thread that waits in such a call is only sent a signal if Python itself is the caller (`callers`);
else py-spy is asked, which only reads memory, where it is installed; else the stack stays unknown,
and says why. A thread that has not moved since it was last asked is not asked again.
"""

from nbflow.worker.probing.stacks.cells import CellFiles
from nbflow.worker.probing.stacks.taking import KernelStacks

__all__ = ["CellFiles", "KernelStacks"]

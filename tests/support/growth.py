"""How cost grows with size, as a ratio within one run: no clock of any machine decides."""

import gc
import sys
import time
from collections.abc import Callable


def growth(work: Callable[[int], object], size: int, factor: int = 4) -> float:
    """Return how many times more CPU `work` takes for `factor` times the size, per item.

    1 is linear; a quadratic piece comes to `factor`. The least of three tries counts, of
    both sizes, since noise only ever adds.
    """
    tracer = sys.gettrace()  # coverage's, whose own cost is not what is asked for
    sys.settrace(None)
    try:
        return _cost_s(work, size * factor) / (_cost_s(work, size) * factor)
    finally:
        sys.settrace(tracer)


def _cost_s(work: Callable[[int], object], size: int) -> float:
    costs = []
    for _ in range(3):
        gc.collect()
        began = time.process_time()
        work(size)
        costs.append(time.process_time() - began)
    return min(costs)

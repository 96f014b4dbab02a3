"""Names of flows as labels of metrics: few, whatever people call their flows."""

#: So many flows have series of their own in one process; the others share those of `OTHERS`.
MOST = 100
OTHERS = "(others)"


class FlowLabels:
    """Gives each flow its label. Every label is a set of series that is kept for good."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._known: set[str] = set()

    def of(self, flow: str) -> str:
        """Return the label of `flow`: its name, or `OTHERS` once there are too many."""
        if flow not in self._known and len(self._known) >= self._most:
            return OTHERS
        self._known.add(flow)
        return flow

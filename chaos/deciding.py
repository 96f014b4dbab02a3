"""What a person would do about a node in doubt: look whether it has had its effect."""

import nbflow
from chaos.marks import Marks
from nbflow.core.states import NodeState

#: What `once` of the flow returns.
PAID = "paid 3000"


def decide_doubts(run: nbflow.Run, marks: Marks) -> list[str]:
    """Decide about every node of `run` that is in doubt, and return their names."""
    doubtful = [name for name in run if run[name].status is NodeState.IN_DOUBT]
    for name in doubtful:
        if marks.has_ended(name):
            run.resolve(name, "succeeded", outputs={"result": PAID})
        else:
            run.resolve(name, "retry")
    return doubtful

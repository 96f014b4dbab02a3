"""What can be wrong with a notebook, its parameters or its outputs."""

from nbflow.core.errors import NbflowError


class InvalidInput(NbflowError):
    """A notebook cannot run with what it was given; another attempt cannot mend that."""


class OutputProblem(NbflowError):
    """Some of a node's outputs could not be kept. `kind` is the error's type for programs."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)

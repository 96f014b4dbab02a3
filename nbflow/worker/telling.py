"""What an attempt tells while it runs."""

from typing import TypeAlias

from nbflow.core.attempts import Checkpointed, Printed, Progress, Sampled, WorkerNote
from nbflow.core.stacks import Stack

Told: TypeAlias = Progress | Printed | Sampled | Stack | Checkpointed | WorkerNote

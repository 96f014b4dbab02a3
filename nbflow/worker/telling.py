"""What an attempt tells while it runs."""

from typing import TypeAlias

from nbflow.core.attempts import Checkpointed, Printed, Progress, WorkerNote

Told: TypeAlias = Progress | Printed | Checkpointed | WorkerNote

"""A cluster that is not the driver's: a scheduler and workers as processes of their own.

Whatever of it has ended is started again by `mend`, as whoever runs a cluster would do.

``python -m chaos.outside ROLE ARGUMENTS…`` is Dask's own program of a scheduler or a worker.
"""

import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

#: How long a scheduler may take to say where it listens, in seconds.
_START_S = 120.0
_LOOK_S = 0.05


class Outside:
    """A scheduler and two workers, for as long as the context lasts.

    Parameters
    ----------
    folder
        Where its files are.
    environment
        Of its processes.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.file = folder / "scheduler.json"
        self._folder = folder
        self._environment = dict(environment)
        self._port = 0
        self._scheduler: subprocess.Popen[bytes] | None = None
        self._workers: list[subprocess.Popen[bytes] | None] = [None, None]

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True)
        self.mend()
        return self

    def __exit__(self, *_: object) -> None:
        for process in (self._scheduler, *self._workers):
            if process is not None:
                process.send_signal(signal.SIGKILL)
                process.wait()

    def mend(self) -> None:
        """Start again what has ended."""
        if self._scheduler is None or self._scheduler.poll() is not None:
            self.file.unlink(missing_ok=True)
            address = ["--host", "127.0.0.1", "--port", str(self._port)]
            quiet = ["--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
            known = ["--scheduler-file", str(self.file)]
            self._scheduler = self._started("scheduler", *address, *quiet, *known)
            self._wait_for_address(self._scheduler)
        for number, worker in enumerate(self._workers):
            if worker is None or worker.poll() is not None:
                self._workers[number] = self._started(
                    *("worker", "--scheduler-file", str(self.file), "--host", "127.0.0.1"),
                    *("--no-nanny", "--no-dashboard", "--dashboard-address", "127.0.0.1:0"),
                    *("--nthreads", "1", "--local-directory", str(self._folder)),
                )

    def _wait_for_address(self, scheduler: subprocess.Popen[bytes]) -> None:
        """Wait until the scheduler has written its file; there is nothing to be awaited but time.

        A scheduler that is killed meanwhile is started again by the next `mend`.
        """
        for _ in range(int(_START_S / _LOOK_S)):
            if self.file.exists() and (text := self.file.read_text()).endswith("}"):
                self._port = int(text.partition('"address": "')[2].partition('"')[0].split(":")[-1])
                return
            try:
                scheduler.wait(_LOOK_S)
            except subprocess.TimeoutExpired:
                continue
            raise RuntimeError(f"the scheduler has ended; see {self._folder}/scheduler.log")
        raise RuntimeError(f"the scheduler does not start; see {self._folder}/scheduler.log")

    def _started(self, role: str, *options: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{role}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "chaos.outside", role, *options],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=self._environment,
                start_new_session=True,
            )


def _main(role: str) -> None:
    if role == "scheduler":
        from distributed.cli.dask_scheduler import main
    else:
        from distributed.cli.dask_worker import main
    main(sys.argv[2:])


if __name__ == "__main__":
    _main(sys.argv[1])

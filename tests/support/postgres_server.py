"""A PostgreSQL server of the test run's own: started in a temporary folder, ended with the run.

A plugin, so that all tests share one server, and one initialised folder from which tests that
restart theirs make copies. Each journal gets a schema of its own in it.
"""

import ctypes
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

#: Has what a URL must not take literally, and what no message may show.
PASSWORD = "s3cret/w@rd"

_PR_SET_PDEATHSIG = 1

_SETTINGS = {
    "fsync": "off",  # the tests kill servers, not machines
    "listen_addresses": "",
    "max_connections": "40",
    "shared_buffers": "8MB",
    "log_min_messages": "fatal",
}


class PostgresServer:
    """A server on the data in `folder`, reached by a socket there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._schemas = itertools.count(1)

    @classmethod
    def initialise(cls, folder: Path) -> "PostgresServer":
        password = folder / "password"
        password.write_text(PASSWORD)
        _give_away(password)
        where = ["--pgdata", str(folder / "data"), "--username", "nbflow"]
        how = ["--auth", "scram-sha-256", "--pwfile", str(password)]
        command = [_program("initdb"), *where, *how, "--no-sync", "--encoding", "UTF8"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **_identity())
        return cls(folder)

    def copied(self, folder: Path) -> "PostgresServer":
        """Return a server on a copy of this one's data, which was never started."""
        shutil.copytree(self.folder / "data", folder / "data", copy_function=shutil.copy)
        for path in [folder / "data", *(folder / "data").rglob("*")]:
            _give_away(path)
        (folder / "data").chmod(0o700)
        return PostgresServer(folder)

    def start(self) -> None:
        settings = {**_SETTINGS, "unix_socket_directories": str(self.folder)}
        options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [_program("postgres"), "-D", str(self.folder / "data"), *options],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                preexec_fn=_end_with_the_tests,  # noqa: PLW1509 - one call into the C library
                **_identity(),
            )
        ready = [_program("pg_isready"), "--host", str(self.folder), "--quiet"]
        while subprocess.run(ready, check=False).returncode:
            assert self._process.poll() is None, (self.folder / "log").read_text()

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server: by SIGINT in good order, by SIGQUIT as if it had crashed."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def restart(self, how: signal.Signals = signal.SIGINT) -> None:
        self.stop(how)
        self.start()

    def url(self, *, password: str = PASSWORD, folder: Path | None = None, **query: str) -> str:
        where = {"host": str(folder or self.folder), **query}
        text = "&".join(f"{key}={quote(value, safe='')}" for key, value in where.items())
        return f"postgresql://nbflow:{quote(password, safe='')}@/postgres?{text}"

    def new_schema(self) -> str:
        """Make a schema for one journal, and return what a URL says to use it."""
        name = f"journal_{next(self._schemas)}"
        self.execute(f"CREATE SCHEMA {name}")
        return f"-csearch_path={name}"

    def execute(self, statement: str, *args: object, options: str = "") -> list[Any]:
        with psycopg.connect(self.url(options=options), autocommit=True) as connection:
            cursor = connection.execute(statement, args)
            return cursor.fetchall() if cursor.description else []


def _program(name: str) -> str:
    """Return the path of a program of PostgreSQL; Debian keeps them off the search path."""
    found = shutil.which(name) or max(
        map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), default=""
    )
    assert found, f"{name} is missing. Install PostgreSQL's server: apt-get install postgresql"
    return found


def _user() -> pwd.struct_passwd | None:
    """Return whom the server runs as, if it must not be who runs the tests."""
    return pwd.getpwnam("postgres") if os.getuid() == 0 else None


def _identity() -> dict[str, Any]:
    user = _user()
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}


def _give_away(path: Path) -> None:
    user = _user()
    if user:
        os.chown(path, user.pw_uid, user.pw_gid)


def _end_with_the_tests() -> None:
    # Whatever kills the test run: an immediate shutdown.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


@pytest.fixture(scope="session")
def postgres_folders(temporary_folder: Path) -> Iterator[Callable[[], Path]]:
    """Makes folders that the server's user can reach, beside the one for everything else."""
    made: list[Path] = []

    def make() -> Path:
        made.append(Path(tempfile.mkdtemp(prefix="nbp", dir=temporary_folder.parent)))
        _give_away(made[-1])
        return made[-1]

    yield make
    for folder in made:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_template(postgres_folders: Callable[[], Path]) -> PostgresServer:
    """An initialised server that is never started."""
    return PostgresServer.initialise(postgres_folders())


@pytest.fixture(scope="session")
def postgres(
    postgres_template: PostgresServer, postgres_folders: Callable[[], Path]
) -> Iterator[PostgresServer]:
    """The running server that tests share."""
    server = postgres_template.copied(postgres_folders())
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_postgres(
    postgres_template: PostgresServer, postgres_folders: Callable[[], Path]
) -> Iterator[PostgresServer]:
    """A running server that the test may stop and start."""
    server = postgres_template.copied(postgres_folders())
    server.start()
    yield server
    server.stop()

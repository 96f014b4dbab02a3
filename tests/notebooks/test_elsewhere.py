"""Notebooks at addresses, through papermill's io handlers: a real HTTP server, and our own."""

import json

import papermill.iorw
import pytest
from shelf import open_shelf

from nbflow.notebooks.elsewhere import Unreachable, is_elsewhere, read_elsewhere, write_elsewhere


@pytest.fixture
def shelf(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with open_shelf() as server:
        yield server


def test_http(shelf):
    address = f"http://127.0.0.1:{shelf.server_port}/a.ipynb"
    write_elsewhere(b'{"cells": []}\n', address)
    assert json.loads(shelf.kept["/a.ipynb"]) == {"cells": []}
    shelf.kept["/a.ipynb"] = '{"cells": ["ü"]}'.encode()
    assert read_elsewhere(address).decode() == '{"cells": ["ü"]}'


def test_what_the_other_side_refuses_is_told_in_words(shelf):
    with pytest.raises(Unreachable, match=r"cannot be written: HTTPError: 403"):
        write_elsewhere(b"{}", f"http://127.0.0.1:{shelf.server_port}/forbidden.ipynb")
    with pytest.raises(Unreachable, match=r"nowhere.ipynb cannot be read: ConnectionError"):
        read_elsewhere("http://127.0.0.1:1/nowhere.ipynb")


def test_any_handler_that_papermill_knows(monkeypatch):
    class Memory:
        kept = {}

        def read(self, path):
            return self.kept[path]

        def write(self, text, path):
            self.kept[path] = text

    io = papermill.iorw.papermill_io
    monkeypatch.setattr(io, "_handlers", [("mem://", Memory()), *io._handlers])
    write_elsewhere(b"{}", "mem://x")
    assert read_elsewhere("mem://x") == b"{}"


@pytest.mark.parametrize("use", [read_elsewhere, lambda path: write_elsewhere(b"{}", path)])
def test_an_unknown_scheme_is_no_local_path(tmp_path, monkeypatch, use):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Unreachable, match="no io handler for ftp://"):
        use("ftp://host/x.ipynb")
    assert list(tmp_path.iterdir()) == []


def test_what_an_address_is():
    assert is_elsewhere("s3://bucket/x.ipynb")
    assert not is_elsewhere("/s3/bucket/x.ipynb")

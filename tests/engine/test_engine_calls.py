"""papermill's contracts, through `papermill.execute_notebook`."""

import asyncio
import io
import logging
import threading
from pathlib import Path

import nbformat
import papermill
import pytest
from jupyter_client.kernelspec import NoSuchKernel
from looking import error_of, statuses, text_of
from papermill.exceptions import PapermillExecutionError

from nbflow.engine.background import background

PARAMETERS = ("n = 1", ["parameters"])


def test_parameters_are_injected_and_outputs_kept(notebook, execute, saved):
    path = notebook(PARAMETERS, "print(n * 2)", "n + 1")
    node = execute(path, parameters={"n": 20})
    assert text_of(node.cells[2]) == "40\n"
    assert node.cells[3].outputs[0].data["text/plain"] == "21"
    assert node.metadata.papermill.parameters == {"n": 20}
    assert node.metadata.papermill.exception is None
    assert node.metadata.papermill.duration > 0
    assert node.metadata.language_info.name == "python"
    assert statuses(node) == ["completed"] * 4
    assert saved() == node


def test_a_cell_that_raises_is_marked_and_what_follows_stays_pending(notebook, execute, saved):
    with pytest.raises(PapermillExecutionError, match="ZeroDivisionError") as info:
        execute(notebook("1", "1 / 0", "2"))
    assert info.value.exec_count == 2
    node = saved()
    assert statuses(node) == ["completed", "failed", "pending"]
    assert node.metadata.papermill.exception is True
    assert [cell.cell_type for cell in node.cells] == [
        "markdown",
        "code",
        "markdown",
        *["code"] * 2,
    ]
    assert error_of(node).ename == "ZeroDivisionError"


def test_sys_exit_without_a_fault_ends_the_notebook_well(notebook, execute, saved):
    execute(notebook("import sys", "sys.exit(0)", "1"))
    assert error_of(saved()).ename == "SystemExit"
    assert "pending" in statuses(saved())


def test_prepare_only_runs_nothing(notebook, execute, saved):
    execute(notebook(PARAMETERS, "1 / 0"), parameters={"n": 2}, prepare_only=True)
    assert "n = 2" in saved().cells[1].source


def test_report_mode_hides_sources(notebook, execute, saved):
    execute(notebook(PARAMETERS), parameters={"n": 2}, report_mode=True)
    assert all(cell.metadata.jupyter.source_hidden for cell in saved().cells)


def test_streams_go_to_files_and_outputs_to_the_log(notebook, execute, caplog):
    out, err = io.StringIO(), io.StringIO()
    caplog.set_level(logging.INFO, "papermill")
    source = "import sys; print('to out'); print('to err', file=sys.stderr)"
    execute(notebook(source, "6 * 7"), log_output=True, stdout_file=out, stderr_file=err)
    assert (out.getvalue(), err.getvalue()) == ("to out\n", "to err\n")
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert ("INFO", "to out\n") in told
    assert ("WARNING", "to err\n") in told
    assert ("INFO", "42") in told
    assert ("INFO", "Executing notebook with kernel: python3") in told
    assert ("INFO", f"Executing Cell {1:-<40}") in told
    assert ("INFO", f"Ending Cell {2:-<43}") in told


def test_nothing_but_errors_is_logged_unless_asked_for(notebook, execute, caplog):
    caplog.set_level(logging.INFO, "papermill")
    execute(notebook("print('quiet')"))
    assert "quiet" not in caplog.text


def test_a_file_that_cannot_be_written_is_told_and_the_cell_has_failed(notebook, execute, saved):
    closed = io.StringIO()
    closed.close()
    with pytest.raises(ValueError, match="closed file"):
        execute(notebook("print(1)", "2"), stdout_file=closed)
    assert statuses(saved()) == ["failed", "pending"]


def test_the_progress_bar_counts_cells_and_tells_their_description(
    notebook, execute, capfd, monkeypatch
):
    monkeypatch.setattr("tqdm.tqdm.monitor_interval", 0)  # a thread of tqdm's for slow bars
    cells = ["papermill_description='loading'", "1"]
    execute(notebook(*cells), progress_bar={"desc": "Working", "mininterval": 0})
    shown = capfd.readouterr().err
    assert "Working:" in shown
    assert "Executing 'loading':" in shown
    assert "2/2" in shown


def test_the_kernel_runs_where_papermill_says(notebook, execute, tmp_path):
    (tmp_path / "there").mkdir()
    path = notebook("import os; print(os.getcwd())")
    assert text_of(execute(path, cwd=tmp_path / "there").cells[0]) == f"{tmp_path / 'there'}\n"
    here = Path.cwd()
    assert text_of(execute(path, cwd=None).cells[0]) == f"{here}\n"
    assert Path.cwd() == here


def test_relative_paths_are_the_callers_whatever_the_kernels_folder(
    notebook, tmp_path, monkeypatch
):
    (tmp_path / "there").mkdir()
    notebook("open('made', 'w').close()")
    monkeypatch.chdir(tmp_path)
    papermill.execute_notebook(
        "in.ipynb", "out.ipynb", engine_name="nbflow", progress_bar=False, cwd="there"
    )
    assert (tmp_path / "out.ipynb").exists()
    assert (tmp_path / "there" / "made").exists()


def test_a_missing_output_folder_is_told_before_anything_runs(notebook, tmp_path):
    path = notebook(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(FileNotFoundError, match="doesn't exist"):
        papermill.execute_notebook(
            path, tmp_path / "no" / "out.ipynb", engine_name="nbflow", progress_bar=False
        )
    assert not (tmp_path / "ran").exists()


def test_a_notebook_without_a_file_is_only_returned(tmp_path):
    node = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print('x')")])
    done = papermill.execute_notebook(
        node, None, engine_name="nbflow", kernel_name="python3", progress_bar=False
    )
    assert text_of(done.cells[0]) == "x\n"
    assert list(tmp_path.iterdir()) == []


def test_python_is_another_name_of_the_python_kernel(notebook, execute):
    assert text_of(execute(notebook("print(1)", kernel="python")).cells[0]) == "1\n"


def test_a_kernel_that_is_not_installed_is_what_papermills_users_know(notebook, execute, saved):
    with pytest.raises(NoSuchKernel, match="ghost"):
        execute(notebook("1", "2"), kernel_name="ghost")
    assert statuses(saved()) == ["pending", "pending"]
    assert saved().metadata.papermill.exception is True


def test_errors_can_be_allowed(notebook, execute, saved):
    with pytest.raises(PapermillExecutionError):  # papermill finds every error
        execute(notebook("1 / 0", "print('on')"), allow_errors=True)
    assert text_of(saved().cells[-1]) == "on\n"


def test_timing_can_be_left_out(notebook, execute):
    assert "execution" in execute(notebook("1")).cells[0].metadata
    assert "execution" not in execute(notebook("1"), record_timing=False).cells[0].metadata


def test_arguments_reach_the_kernel(notebook, execute):
    path = notebook("print(get_ipython().ast_node_interactivity)")
    arguments = ["--InteractiveShell.ast_node_interactivity=all"]
    assert "all" in text_of(execute(path, extra_arguments=arguments).cells[0])


def test_an_argument_that_nobody_knows_is_told(notebook, execute, caplog):
    caplog.set_level(logging.WARNING, "papermill")
    execute(notebook("1"), shutdown_kernel="immediate", no_such_thing=3)
    assert "shutdown_kernel is ignored" in caplog.text
    assert "does not know the argument no_such_thing" in caplog.text


def test_threads_may_run_notebooks_at_once(notebook, tmp_path):
    paths = [
        notebook(f"import os; print({at}, os.getpid())", name=f"{at}.ipynb") for at in range(3)
    ]
    done = {}

    def run(path):
        done[path] = papermill.execute_notebook(
            path, path.with_suffix(".out.ipynb"), engine_name="nbflow", progress_bar=False
        )

    threads = [threading.Thread(target=run, args=[path]) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = [text_of(done[path].cells[0]).split() for path in paths]
    assert [number for number, _ in told] == ["0", "1", "2"]
    assert len({pid for _, pid in told}) == 3


async def _in_a_loop(execute, path):
    return execute(path)


def test_a_caller_may_be_inside_a_running_loop(notebook, execute):
    node = asyncio.run(
        _in_a_loop(execute, notebook("await __import__('asyncio').sleep(0); print(1)"))
    )
    assert text_of(node.cells[0]) == "1\n"


def test_nbclients_hooks_and_limits_by_cell(notebook, execute):
    begun, limited = [], []

    def limit(cell):
        limited.append(cell.source)
        return 60

    execute(
        notebook("1", "2"),
        on_cell_execute=lambda cell, cell_index: begun.append((cell_index, cell.source)),
        timeout_func=limit,
    )
    assert begun == [(0, "1"), (1, "2")]
    assert limited == ["1", "2"]


def test_kernels_come_from_a_pool_that_has_loaded_what_notebooks_import(notebook, execute):
    loaded = "import sys; print('dateutil' in sys.modules)"
    path = notebook(loaded, "import dateutil")
    nodes = [execute(path), execute(path)]
    assert [text_of(node.cells[0]) for node in nodes] == ["True\n"] * 2
    stats = background().pool.stats()
    assert (stats.hits + stats.misses, stats.ordinary) == (2, 0)

"""What papermill does with outputs as they arrive, besides keeping them: logs and files."""

from nbformat import NotebookNode
from papermill.log import logger

from nbflow.engine.options import EngineOptions


class Listener:
    """Passes outputs on to papermill's log and to the files for standard output and error."""

    def __init__(self, options: EngineOptions) -> None:
        self._log_output = options.log_output
        self._files = {"stdout": options.stdout_file, "stderr": options.stderr_file}

    @property
    def wanted(self) -> bool:
        """Whether anybody listens."""
        return self._log_output or any(self._files.values())

    def heard(self, _cell_index: int, output: NotebookNode) -> None:
        """Take an output; of a stream, its new piece."""
        if output.output_type == "stream":
            self._hear_stream(output.name, "".join(output.text))
        elif self._log_output and "text/plain" in output.get("data", {}):
            logger.info("".join(output.data["text/plain"]))

    def _hear_stream(self, name: str, text: str) -> None:
        if self._log_output:
            # As papermill does: who wants to tell them apart finds standard error in the warnings.
            (logger.warning if name == "stderr" else logger.info)(text)
        file = self._files.get(name)
        if file is not None:
            file.write(text)
            file.flush()

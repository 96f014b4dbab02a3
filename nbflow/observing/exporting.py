"""Where Prometheus finds the metrics: on a port of our own, and at the embedded scheduler.

Dask's scheduler serves whatever is registered in prometheus_client's own registry under
``/metrics``. An embedded scheduler lives in this very process, so registering there is enough. On
somebody else's cluster there is no scheduler of ours: there, a port serves the metrics, and nothing
but these.
"""

import functools
import logging
import threading
from collections.abc import Callable
from wsgiref.simple_server import WSGIServer

from prometheus_client import REGISTRY, CollectorRegistry, start_http_server

from nbflow.observing.metrics import Metrics

_log = logging.getLogger(__name__)


class Exporter:
    """The metrics of a process, and the ports on which it serves them.

    A port stays open when a run has ended: so the last figures are seen, and there is something to
    be asked between two runs.

    Parameters
    ----------
    metrics
        What is served.
    """

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self._lock = threading.Lock()
        self._servers: dict[tuple[str, int], tuple[WSGIServer, threading.Thread]] = {}
        self._leave: list[Callable[[], None]] = []

    def serve(self, host: str, port: int) -> str | None:
        """Serve the metrics on a port; one that this process serves already goes on.

        Parameters
        ----------
        host, port
            Where to listen; port 0 takes one that is free.

        Returns
        -------
        str | None
            The address; None if it cannot be had, which is told in the log: no run fails for that.
        """
        with self._lock:
            if (host, port) not in self._servers:
                try:
                    served = start_http_server(port, host, self.metrics.registry)
                except (OSError, OverflowError) as error:
                    _log.warning(
                        "no metrics are served: port %d of %s cannot be had (%s). "
                        "Choose another one by --metrics-port or NBFLOW_METRICS_PORT",
                        *(port, host, error),
                    )
                    return None
                self._servers[host, port] = served
            server, _ = self._servers[host, port]
        return f"http://{host}:{server.server_port}/metrics"

    def join(self, registry: CollectorRegistry) -> None:
        """Have the metrics served by whoever serves `registry`; once is enough."""
        with self._lock:
            if not self._leave:
                registry.register(self.metrics.registry)
                self._leave.append(lambda: registry.unregister(self.metrics.registry))

    def close(self) -> None:
        """Serve nothing any more."""
        with self._lock:
            servers, self._servers = self._servers, {}
            leave, self._leave = self._leave, []
        for forget in leave:
            forget()
        for server, thread in servers.values():
            server.shutdown()
            server.server_close()
            thread.join()


@functools.cache
def of_this_process() -> Exporter:
    """Return this process's one exporter: ports and Dask's registry are the process's, too."""
    return Exporter(Metrics())


def join_dask() -> None:
    """Have the metrics served at the ``/metrics`` of schedulers in this process."""
    of_this_process().join(REGISTRY)

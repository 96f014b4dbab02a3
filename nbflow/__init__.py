"""nbflow: run notebooks as a durable graph on Dask, without changing the notebooks."""

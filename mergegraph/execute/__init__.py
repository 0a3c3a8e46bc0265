"""Execute a Plan with dask."""

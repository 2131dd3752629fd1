"""Hot loops, compiled by numba. They never call Python: they return codes (see ``arena``)."""

"""Loops over bytes, compiled by Numba on first use and kept in its cache; they run without the GIL.

Nothing here is imported until a column needs it: integer and float columns never do.
"""

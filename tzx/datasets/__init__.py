"""Public data sets made ready for the example configs, and generators for layouts whose data is not at hand.

Imports NumPy and Arrow only, so that preparing data needs neither torch nor a GPU.
"""

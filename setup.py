"""Names the packages: setup.cfg can either find packages or list them, and tzx_schedulers has to be listed."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["tzx", "tzx.*"]), "tzx_schedulers"])

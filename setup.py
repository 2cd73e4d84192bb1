"""What setup.cfg cannot say: a package found elsewhere than its name, and entry points in an order that counts."""

from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.egg_info import egg_info


class OrderedEntryPoints(egg_info):
    """Keeps entry points as setup.cfg lists them: TorchX takes the first scheduler as its default."""

    def run(self) -> None:
        """Writes the metadata, then entry_points.txt once more without the sorting."""
        super().run()
        groups = self.distribution.entry_points
        text = "\n".join("\n".join([f"[{group}]", *lines, ""]) for group, lines in groups.items())
        Path(self.egg_info, "entry_points.txt").write_text(text)


setup(
    packages=[*find_packages(include=["tzx", "tzx.*"]), "tzx_schedulers"],
    cmdclass={"egg_info": OrderedEntryPoints},
)

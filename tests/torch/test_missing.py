"""Without PyTorch; these tests need none."""

from __future__ import annotations

import subprocess
import sys


def test_the_error_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import eventsnn.torch\n"
        "try:\n    from eventsnn.torch import SpikingNetwork\n"
        "except ImportError as error:\n    print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    needs = "eventsnn.torch needs PyTorch, which is not installed: pip install 'eventsnn[torch]'"
    assert done.stdout == f"MissingExtraError {needs}\n"


def test_importing_the_package_loads_no_library() -> None:
    code = "import sys, eventsnn.torch; print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"

"""Without scikit-learn; these tests need none."""

from __future__ import annotations

import subprocess
import sys


def test_the_error_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "import eventsnn.sklearn\n"
        "try:\n    from eventsnn.sklearn import SpikingClassifier\n"
        "except ImportError as error:\n    print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    library = "scikit-learn 1.6 or newer"
    needs = f"eventsnn.sklearn needs {library}, which is not installed: pip install 'eventsnn[sklearn]'"
    assert done.stdout == f"MissingExtraError {needs}\n"


def test_importing_the_package_loads_no_library() -> None:
    code = "import sys, eventsnn.sklearn; print('sklearn' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"

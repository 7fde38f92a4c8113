"""Everything in this folder is slow: it runs only on demand, with EVENTSNN_VERIFY=1."""

import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    asked_for = os.environ.get("EVENTSNN_VERIFY") == "1"
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.verification)
            item.add_marker(pytest.mark.timeout(3600))
            if not asked_for:
                item.add_marker(pytest.mark.skip(reason="verification: set EVENTSNN_VERIFY=1"))

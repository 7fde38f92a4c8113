"""``python -m eventsnn``: the command line."""

import sys

from eventsnn.cli import main

sys.exit(main())

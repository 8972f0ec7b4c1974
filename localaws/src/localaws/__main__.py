"""`python -m localaws`: the command `localaws`, where its script is not on the PATH."""

import sys

from localaws.cli import main

sys.exit(main())

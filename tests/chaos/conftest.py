from __future__ import annotations

import sys
from pathlib import Path

# a program beside the packages, not one of them: nothing installs it
sys.path.insert(0, str(Path(__file__).parent))

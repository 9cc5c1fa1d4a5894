"""`import veilstream.client` is light: an agent's process must not load a training stack."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("torch", "transformers", "opacus", "faust", "mode", "presidio_analyzer", "spacy", "redis")

SCRIPT = f"""
import sys
import veilstream.client
print([name for name in {HEAVY!r} if name in sys.modules])
"""


def test_the_client_loads_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_check_sees_a_heavy_import() -> None:
    script = SCRIPT.replace("import veilstream.client", "import redis")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['redis']"

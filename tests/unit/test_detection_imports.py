"""What detection loads and does not load, in processes of their own."""

from __future__ import annotations

import subprocess
import sys


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def test_the_engine_loads_neither_torch_nor_transformers_and_leaves_them_loadable() -> None:
    code = (
        "import sys\n"
        "from veilstream.detection import PatternEngine\n"
        "assert PatternEngine().find('jane@example.com')\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
        "import importlib.util\n"
        "assert importlib.util.find_spec('torch') and importlib.util.find_spec('transformers')\n"
        "print('fine')"
    )
    assert run(code) == "fine"


def test_a_torch_that_is_loaded_already_is_left_alone() -> None:
    code = (
        "import sys, types\n"
        "torch = sys.modules['torch'] = types.ModuleType('torch')\n"
        "from veilstream.detection.presidio import hidden\n"
        "with hidden('torch', 'nosuch'):\n"
        "    assert sys.modules['torch'] is torch and sys.modules['nosuch'] is None\n"
        "assert sys.modules['torch'] is torch and 'nosuch' not in sys.modules\n"
        "print('fine')"
    )
    assert run(code) == "fine"


def test_no_socket_is_opened_and_no_cache_written() -> None:
    code = (
        "import socket\n"
        "def refuse(*a, **k): raise AssertionError('a socket')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse\n"
        "import os\n"
        "os.environ['HOME'] = '/nonexistent'\n"
        "from veilstream.detection import PatternEngine, stock_presidio\n"
        "assert PatternEngine().find('write to jane@example.co.uk')[0].score == 1.0\n"
        "assert any(f.kind == 'EMAIL_ADDRESS' for f in stock_presidio()('write to jane@example.co.uk'))\n"
        "print('fine')"
    )
    assert run(code) == "fine"


def test_names_and_kinds_are_light() -> None:
    code = (
        "import sys\n"
        "from veilstream.detection import kind_of_names, engine_version\n"
        "assert kind_of_names(('email',)) and 'presidio-analyzer' in engine_version()\n"
        "from veilstream.protection import load_policy\n"
        "load_policy('strict')\n"
        "heavy = {'presidio_analyzer', 'spacy', 'phonenumbers', 'redis', 'torch', 'faust', 'aiokafka'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert run(code) == "[]"


def test_the_engine_is_up_quickly() -> None:
    """1.6 s measured alone on this class of machine; without the guard it takes 14 s and more."""
    code = (
        "import time\n"
        "start = time.process_time()\n"
        "from veilstream.detection import PatternEngine\n"
        "PatternEngine()\n"
        "print(time.process_time() - start)"
    )
    assert float(run(code)) < 8

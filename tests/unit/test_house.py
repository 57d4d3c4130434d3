"""The rules of the house that a machine can check: who may import whom, and what is not done.

Imports are read from the source, so that a rule holds for every module that is added.
"""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import simvue

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "simvue"

COMMON_GROUND = {
    "simvue.exception",
    "simvue.wire",
    "simvue.config",
    "simvue.names",
    "simvue.version",
}
"""What both halves may import."""

HEAVY = {"numpy", "pandas", "mpi4py", "torch", "psutil", "pydantic", "requests", "ssl"}
"""Never loaded by a simulation that only logs."""

TRANSPORT = {"simvue.remote", "simvue.trouble"}
"""The modules of the client half that import an HTTP package; not on the road of a metric."""

FOR_OTHERS = {
    "simvue.api",
    "simvue.config.user",
    "simvue.executor",
    "simvue.metadata",
    "simvue.models",
    "simvue.sender",
    "simvue.utilities",
}
"""Names of the official package, for connectors, simvue-cli, scripts; only they load pydantic."""

FORBIDDEN_NAMES = {"utils", "core", "common", "base", "helpers"}

HTTP = {"litestar", "uvicorn", "starlette", "httpx", "requests", "urllib3", "http", "aiohttp"}

BLIND = {
    "simvue.destination:_send": "a fault in one request is an outage of that request: tried again",
    "simvue.shipper:run": "logged; what was not settled is still in its segments",
    "simvue.shipper:_serve_safely": "one run's fault is logged, and the run waits for a second",
    "simvue.resources:_run": "logged; one sample is missing",
    "simvue.server.store.commits:_attempt": "raised again in the thread of whoever asked",
}
"""Where everything may be caught, as ``module:function``, and what happens to what is caught."""


@dataclass(frozen=True)
class Import:
    """One import of *module*; ``names`` are what is taken from it."""

    module: str
    names: tuple[str, ...]
    in_function: bool
    for_types: bool

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]


@cache
def sources() -> dict[str, ast.Module]:
    """Module name -> its tree, for every Python file of the package."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(), str(path))
    return found


def is_package(module: str) -> bool:
    return (ROOT / module.replace(".", "/") / "__init__.py").exists()


@cache
def imports(module: str) -> tuple[Import, ...]:
    return tuple(_imports(sources()[module], module, False, False))


def _imports(tree: ast.AST, module: str, in_function: bool, for_types: bool) -> Iterator[Import]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, (), in_function, for_types)
        elif isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names)
            base = _absolute(node, module)
            taken = tuple(name for name in names if f"{base}.{name}" not in every_module())
            if taken or not names:
                yield Import(base, taken, in_function, for_types)
            for name in set(names) - set(taken):
                yield Import(f"{base}.{name}", (), in_function, for_types)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            yield from _imports(node, module, in_function, True)
        else:
            function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(node, module, in_function or function, for_types)


def every_module() -> set[str]:
    compiled = {f"simvue.{path.stem}" for path in PACKAGE.glob("*.pyx")}
    return set(sources()) | compiled


def _absolute(node: ast.ImportFrom, module: str) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    parts = parts[: len(parts) - node.level + (1 if is_package(module) else 0)]
    return ".".join([*parts, node.module] if node.module else parts)


def ours(module: str) -> list[Import]:
    return [found for found in imports(module) if found.package == "simvue"]


def within(module: str, parent: str) -> bool:
    return module == parent or module.startswith(f"{parent}.")


def on_common_ground(module: str) -> bool:
    return any(within(module, ground) for ground in COMMON_GROUND)


def for_others(module: str) -> bool:
    return any(within(module, name) for name in FOR_OTHERS)


def client_half() -> list[str]:
    return [
        module
        for module in sources()
        if not within(module, "simvue.server")
        and not within(module, "simvue.cli")
        and module != "simvue.__main__"
    ]


def server_half() -> list[str]:
    return [module for module in sources() if within(module, "simvue.server")]


# ---- Who may import whom ----------------------------------------------------------------------


def test_this_file_sees_the_imports_that_there_are():
    """A rule that looks at nothing holds always."""
    assert Import("simvue.config", (), False, False) in imports("simvue.client")
    assert Import("simvue.wire", ("FOLDER_PATTERN", "NAME_PATTERN"), False, False) in imports(
        "simvue.config.settings"
    )
    assert any(found.module == "tomllib" and found.in_function for found in imports(FILES))
    assert any(found.module == "pandas" and found.for_types for found in imports("simvue.frames"))


FILES = "simvue.config.files"


def test_common_ground_imports_nothing_else_of_ours():
    for module in filter(on_common_ground, sources()):
        for found in ours(module):
            assert on_common_ground(found.module), f"{module} imports {found.module}"
    for module in ("simvue.exception", "simvue.wire", "simvue.version"):
        assert not ours(module), f"{module} imports one of ours"


def test_the_client_half_never_imports_the_server():
    for module in client_half():
        for found in ours(module):
            assert not within(found.module, "simvue.server"), f"{module} imports {found.module}"
            assert not within(found.module, "simvue.cli"), f"{module} imports {found.module}"


def test_the_server_never_imports_the_client_half():
    allowed = ("simvue.server", "simvue._columns")
    for module in server_half():
        for found in ours(module):
            assert on_common_ground(found.module) or any(
                within(found.module, parent) for parent in allowed
            ), f"{module} imports {found.module}"


def test_the_command_line_imports_either_half_only_inside_functions():
    """``simvue ship`` on a node without the server's packages must still start."""
    for module in sources():
        if not within(module, "simvue.cli"):
            continue
        for found in ours(module):
            # The front door alone is common ground: it loads what is asked of it.
            door = found.module == "simvue" and not found.names
            idle = found.in_function or found.for_types or door
            if not idle and not within(found.module, "simvue.cli"):
                assert on_common_ground(found.module), f"{module} imports {found.module} on top"


def test_the_road_of_a_metric_reaches_no_module_that_speaks_http():
    """What `simvue.run` loads, at once or later, in any number of steps."""
    if "simvue.run" not in sources():
        pytest.fail("there is no simvue/run.py")
    waiting, seen = ["simvue.run"], set()
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        assert module not in TRANSPORT | {"simvue.shipper"}, f"simvue.run reaches {module}"
        if module in sources():
            for found in imports(module):
                assert found.package not in HTTP | {"ssl"}, f"{module} imports {found.module}"
                if found.package == "simvue" and not found.for_types and found.module != "simvue":
                    waiting.append(found.module)


def test_the_client_half_imports_nothing_heavy_on_top_of_a_module():
    for module in client_half():
        if for_others(module):
            continue
        heavy = HEAVY - {"requests", "ssl"} if module in TRANSPORT else HEAVY | HTTP
        for found in imports(module):
            assert found.in_function or found.for_types or found.package not in heavy, (
                f"{module} imports {found.module} on top"
            )


def test_what_is_for_others_is_used_by_none_of_ours():
    allowed = {
        # What simvue-cli reads off a Client, and connectors off a Run.
        ("simvue.client", "simvue.config.user"),
        ("simvue.run", "simvue.config.user"),
        # A folder that is asked for to be changed.
        ("simvue.client", "simvue.api.objects"),
    }
    for module in sources():
        if for_others(module) or module == "simvue":
            continue
        for found in ours(module):
            if for_others(found.module) and not found.for_types:
                assert found.in_function, f"{module} imports {found.module} on top"
                assert (module, found.module) in allowed, f"{module} imports {found.module}"


def test_the_store_knows_no_http_and_one_engine_its_own_driver():
    for module in server_half():
        for found in imports(module):
            if within(module, "simvue.server.store"):
                assert found.package not in HTTP, f"{module} imports {found.module}"
            else:
                assert found.package != "sqlite3", f"{module} imports {found.module}"
            if found.package in ("psycopg", "psycopg2", "asyncpg"):
                assert module == "simvue.server.store.postgres"


def test_no_module_takes_anothers_underscore_name():
    for module, tree in sources().items():
        for found in ours(module):
            for name in found.names:
                private = name.startswith("_") and not name.startswith("__")
                assert not private, f"{module} imports {name} from {found.module}"
        modules = set(_module_names(tree, module))
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                private = node.attr.startswith("_") and not node.attr.startswith("__")
                assert not (private and node.value.id in modules), (
                    f"{module} line {node.lineno} uses {node.value.id}.{node.attr}"
                )


def _module_names(tree: ast.AST, module: str) -> Iterator[str]:
    """Yield the local names that stand for a module of ours."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            base = _absolute(node, module)
            for alias in node.names:
                if f"{base}.{alias.name}" in every_module():
                    yield alias.asname or alias.name
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname and alias.name.startswith("simvue."):
                    yield alias.asname


def test_no_two_modules_import_each_other():
    graph = {
        module: {
            found.module
            for found in ours(module)
            if not found.in_function and not found.for_types and found.module in sources()
        }
        # To import a module is to import its package; but the package is loaded by then.
        - {module}
        for module in sources()
    }
    done: set[str] = set()

    def walk(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module not in done:
            for target in sorted(graph[module]):
                walk(target, (*path, module))
            done.add(module)

    for module in graph:
        walk(module, ())


# ---- What a simulation loads ------------------------------------------------------------------


@pytest.mark.parametrize("names", ["", "simvue.Run", "simvue.Run()"])
def test_import_simvue_loads_nothing_heavy(names):
    code = f"import sys, simvue\n{names}\nprint(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "simvue" in loaded
    # _ssl, because what costs is OpenSSL, whatever loads it.
    assert (HEAVY | HTTP | {"_ssl", "msgpack", "tomllib", "asyncio"}) & set(loaded) == set()
    if not names:
        # The door itself: two modules without imports.
        assert {name for name in loaded if name.startswith("simvue")} == {
            "simvue",
            "simvue.exception",
            "simvue.version",
        }


def test_the_front_door_has_what_it_says_and_nothing_else():
    for name in simvue.__all__:
        assert getattr(simvue, name) is not None
        assert name in dir(simvue)
    with pytest.raises(AttributeError, match="no attribute 'Ran'"):
        _ = simvue.Ran


# ---- What is not done ---------------------------------------------------------------------------


def test_no_module_is_called_something_that_means_nothing():
    for module in sources():
        if not within(module, "simvue.api"):
            assert not set(module.split(".")) & FORBIDDEN_NAMES, module


def test_everything_is_caught_only_at_the_boundaries_of_a_process():
    """A handler that ends with a bare ``raise`` only tidies up, and may see anything."""
    found = set()
    for module, tree in sources().items():
        for function, handler in _handlers(tree, "module"):
            ends_with_raise = isinstance(handler.body[-1], ast.Raise) and not handler.body[-1].exc
            if _is_blind(handler) and not ends_with_raise:
                found.add(f"{module}:{function}")
    assert found == set(BLIND)


def _handlers(tree: ast.AST, function: str) -> Iterator[tuple[str, ast.ExceptHandler]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ExceptHandler):
            yield function, node
        inner = node.name if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else function
        yield from _handlers(node, inner)


def _is_blind(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(
        isinstance(kind, ast.Name) and kind.id in ("Exception", "BaseException") for kind in kinds
    )


def test_no_two_test_files_have_one_name():
    """Pytest imports them by it, and takes the one for the other."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []


def test_sql_stands_only_in_the_store():
    statement = re.compile(
        r"\s*(SELECT\s.*\sFROM|INSERT\s+INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|CREATE\s+TABLE|PRAGMA)\s",
        re.DOTALL,
    )
    for module, tree in sources().items():
        if within(module, "simvue.server.store"):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not statement.match(node.value), f"{module} line {node.lineno}"


def test_the_version_is_the_same_in_its_two_places():
    told = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert told
    assert told[1] == simvue.__version__

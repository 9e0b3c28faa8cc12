"""Install LiteLLM's proxy with its database client, in an environment of its own.

    python -m benchmarks.peers.install [--folder build/peers]

LiteLLM keeps keys and spend in PostgreSQL through Prisma, whose engines are programs that its
client downloads at the first start from a host of its maker. Where that host cannot be reached, the
same engine comes as a library inside a package of npm (README.md says which and what differs).
"""

import argparse
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

LITELLM: Final = ("litellm==1.109.1", "litellm-enterprise==0.1.82", "litellm-proxy-extras==0.4.110")
"""`litellm[proxy]` names later extras (0.4.113) and a later certifi than could be had when this was
written. Extras hold migrations only, and the tables are made from LiteLLM's own schema here."""
NEEDS_OF: Final = "litellm[proxy]==1.106.2"
MORE: Final = ("prisma==0.11.0", "redis==8.1.0")
OPENSSL_1_1: Final = "psycopg2-binary==2.9.5"
"""The wheel brings OpenSSL 1.1, which the library was linked with. Nothing is encrypted here."""
ENGINE: Final = "libquery_engine-debian-openssl-1.1.x.so.node"
DEFAULT: Final = Path(__file__).parents[2] / "build" / "peers"
_PARTS: Final = Path(__file__).parent / "prisma"
_WRAPPER: Final = """#!/bin/sh
export LD_LIBRARY_PATH="{folder}/openssl" PRISMA_QUERY_ENGINE_LIBRARY="{folder}/{engine}"
exec node "{parts}/engine.cjs" "$@"
"""


def install(folder: Path) -> None:
    """Everything under `folder`; done anew where it is half done."""
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    python = folder / "env" / "bin" / "python"
    if not python.exists():
        _run(sys.executable, "-m", "venv", folder / "env")
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    _run(*pip, NEEDS_OF, *MORE)
    _run(*pip, "--no-deps", *LITELLM)
    _openssl(folder, python)
    _engine(folder)
    _client_and_tables(folder, python)
    print(f"LiteLLM is ready in {folder}")


def _openssl(folder: Path, python: Path) -> None:
    wheels, libraries = folder / "wheels", folder / "openssl"
    libraries.mkdir(exist_ok=True)
    get = ("download", "--quiet", "--no-deps", "--only-binary", ":all:", "-d", wheels, OPENSSL_1_1)
    _run(python, "-m", "pip", *get)
    with zipfile.ZipFile(next(wheels.glob("psycopg2_binary*.whl"))) as wheel:
        for name in wheel.namelist():
            file = name.rpartition("/")[2]
            if file.startswith(("libssl-", "libcrypto-")):
                (libraries / file).write_bytes(wheel.read(name))
                link = libraries / f"{file.partition('-')[0]}.so.1.1"
                link.unlink(missing_ok=True)
                link.symlink_to(file)


def _engine(folder: Path) -> None:
    shutil.copy(_PARTS / "package.json", folder)
    _run("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", cwd=folder)
    shutil.copy(folder / "node_modules" / "@prisma" / "internals" / "dist" / ENGINE, folder)
    wrapper = folder / "query-engine"
    wrapper.write_text(_WRAPPER.format(folder=folder, engine=ENGINE, parts=_PARTS.absolute()))
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)


def _client_and_tables(folder: Path, python: Path) -> None:
    """The Python client for LiteLLM's schema, and that schema as SQL."""
    where = "import litellm.proxy as p; print(p.__path__[0])"
    proxy = Path(_run(python, "-c", where).strip())
    schema = (proxy / "schema.prisma").read_text("utf-8")
    kept = "".join(line for line in schema.splitlines(True) if "binaryTargets" not in line)
    (folder / "schema.prisma").write_text(kept, "utf-8")
    offline = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1/nothing",
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "LD_LIBRARY_PATH": str(folder / "openssl"),
        "PRISMA_CLI_QUERY_ENGINE_TYPE": "binary",
        "PRISMA_QUERY_ENGINE_BINARY": str(folder / "query-engine"),
        "PRISMA_QUERY_ENGINE_LIBRARY": str(folder / ENGINE),
        "PRISMA_SCHEMA_ENGINE_BINARY": str(folder / "query-engine"),
    }
    prisma = folder / "node_modules" / ".bin" / "prisma"
    _run(prisma, "generate", "--schema", "schema.prisma", cwd=folder, more=offline)
    sql = _run("node", "--no-warnings", _PARTS / "schema.mjs", "schema.prisma", cwd=folder)
    (folder / "schema.sql").write_text(sql, "utf-8")


def _run(*command: str | Path, cwd: Path | None = None, more: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **(more or {})},
        capture_output=True,
        text=True,
        timeout=1_200,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=DEFAULT)
    install(parser.parse_args().folder)

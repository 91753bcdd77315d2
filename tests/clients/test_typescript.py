"""The TypeScript client: made from a running service, type-checked, and asked under Node."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.conftest import PROJECT, Running

ROOT = PROJECT / "clients" / "typescript"
SAID = re.compile(r"// (.+)$", re.MULTILINE)

pytestmark = pytest.mark.skipif(shutil.which("npm") is None, reason="there is no npm")


@pytest.fixture(scope="module")
def package(server: Running, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package, installed, its types made from the service."""
    left_out = shutil.ignore_patterns("node_modules", "dist", "dist-test", "schema.ts")
    copy = Path(shutil.copytree(ROOT, tmp_path_factory.mktemp("typescript") / "package", ignore=left_out))
    run(copy, server, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
    run(copy, server, "npm", "run", "generate")
    return copy


def run(folder: Path, server: Running, *command: str) -> str:
    environment = {**os.environ, "QUARTET": server.url, "EXAMPLES": f"{PROJECT / 'docs' / 'examples'}"}
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_its_own_tests_pass(package: Path, server: Running) -> None:
    assert re.search(r"^# fail 0$", run(package, server, "npm", "test"), re.MULTILINE)


def test_every_route_is_typed(package: Path, server: Running) -> None:
    paths = httpx.get(f"{server.url}/openapi.json").json()["paths"]
    calls = [f'client.{method.upper()}("{path}", {{}} as never);' for path, item in paths.items() for method in item]
    lines = ['import { createClient } from "../dist/index.js";', "const client = createClient();", *calls]
    (package / "test" / "routes.ts").write_text("\n".join(lines), encoding="utf-8")
    run(package, server, "npx", "tsc")
    run(package, server, "npx", "tsc", "--project", "test", "--noEmit")
    (package / "test" / "routes.ts").unlink()


def test_the_readme_does_what_it_says(package: Path, server: Running) -> None:
    readme = (package / "README.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"^```ts\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)
    asked = script.replace("http://127.0.0.1:3000", server.url).replace('"quartet-client"', '"../dist/index.js"')
    (package / "test" / "readme.ts").write_text(asked.replace("docs/examples", f"{PROJECT / 'docs' / 'examples'}"))
    run(package, server, "npx", "tsc")
    run(package, server, "npx", "tsc", "--project", "test")
    printed = run(package, server, "node", "dist-test/readme.js").splitlines()
    assert printed == SAID.findall(script)

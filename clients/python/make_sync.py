"""Write the modules of the blocking client: each async_NAME.py without its awaiting as NAME.py."""

import re
from pathlib import Path

FOLDER = Path(__file__).parent / "src" / "quartet_client"
REPLACED = (
    (r"for asyncio", "that blocks"),
    (r"\basync_(\w+)", r"\1"),
    (r"AsyncIterator, Iterable", "Iterable, Iterator"),
    (r"import asyncio", "import time"),
    (r"asyncio\.sleep", "time.sleep"),
    (r"async (def|with|for)", r"\1"),
    (r"await ", ""),
    (r"__a(enter|exit)__", r"__\1__"),
    (r"aclose", "close"),
    (r"httpx\.AsyncBaseTransport", "httpx.BaseTransport"),
    (r"\bAsync(\w+)", r"\1"),
    (r"between tasks", "between threads"),
    (r"\A(.*?)`(\w+\.py)` is made of this file by (.*?); change it here", r"\1Made of async_\2 by \3; change it there"),
)


def blocking(source: str) -> str:
    for pattern, replacement in REPLACED:
        source = re.sub(pattern, replacement, source)
    return source


def made() -> dict[Path, str]:
    """The modules of the blocking client."""
    sources = FOLDER.glob("async_*.py")
    return {
        path.with_name(path.name.removeprefix("async_")): blocking(path.read_text(encoding="utf-8")) for path in sources
    }


if __name__ == "__main__":
    for path, source in made().items():
        path.write_text(source, encoding="utf-8")

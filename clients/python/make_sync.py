"""Write src/quartet_client/client.py: async_client.py without its awaiting."""

import re
from pathlib import Path

FOLDER = Path(__file__).parent / "src" / "quartet_client"
REPLACED = (
    (r"\A.*?\n", '"""The client that blocks. Made of async_client.py by `python make_sync.py`; change it there."""\n'),
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
)


def blocking(source: str) -> str:
    for pattern, replacement in REPLACED:
        source = re.sub(pattern, replacement, source)
    return source


if __name__ == "__main__":
    made = blocking((FOLDER / "async_client.py").read_text(encoding="utf-8"))
    (FOLDER / "client.py").write_text(made, encoding="utf-8")

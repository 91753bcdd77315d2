"""A hostile request, and what is wrong with what came of it, kept so that it can be sent again."""

import json
from pathlib import Path
from typing import NamedTuple, Self


class Shot(NamedTuple):
    """A hostile request."""

    method: str
    path: str
    query: bytes
    headers: dict[bytes, bytes]
    body: bytes

    @classmethod
    def read(cls, head: Path) -> Self:
        """What `Finding.write` has kept as NUMBER.json, its body beside it."""
        kept = json.loads(head.read_text())
        headers = {name.encode("latin-1"): value.encode("latin-1") for name, value in kept["headers"].items()}
        query = kept["query"].encode("latin-1")
        return cls(kept["method"], kept["path"], query, headers, head.with_suffix(".body").read_bytes())


class Finding(NamedTuple):
    """A request, and what is wrong with its answer or its cost."""

    shot: Shot
    objection: str

    def write(self, folder: Path, number: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in self.shot.headers.items()}
        query = self.shot.query.decode("latin-1")
        head = self.shot._asdict() | {"headers": headers, "query": query, "body": None, "objection": self.objection}
        (folder / f"{number}.json").write_text(json.dumps(head, indent=1))
        (folder / f"{number}.body").write_bytes(self.shot.body)

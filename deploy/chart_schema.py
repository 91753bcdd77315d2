"""The chart's schema takes the service's settings by their names, and no other."""

import json

from service.settings import PROJECT, Settings

FILE = PROJECT / "deploy" / "helm" / "quartet" / "values.schema.json"


def text() -> str:
    """The schema as it should be."""
    schema = json.loads(FILE.read_text(encoding="utf-8"))
    schema["properties"]["settings"]["propertyNames"]["enum"] = sorted(Settings.model_fields)
    return json.dumps(schema, indent=2) + "\n"

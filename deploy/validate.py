"""Validate the Dockerfile, the chart, the manifests, the rules and the dashboard: python -m deploy.validate

`make validate` runs it in an environment of its own. With --write it renders deploy/kubernetes anew. What is not
installed here is skipped, and said to be; ends with status 1 when something is wrong.
"""

import argparse
import json
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

try:
    import kubernetes_validate
    import promql_parser
    import yaml
except ImportError as error:
    sys.exit(f"skip everything: {error.name} is not installed; deploy/requirements.txt has what is needed")

from deploy.helm_binaries import HelmError, helm

DEPLOY = Path(__file__).parent
CHART, RENDERED = DEPLOY / "helm" / "quartet", DEPLOY / "kubernetes" / "quartet.yaml"
BATCH_JOB = DEPLOY / "kubernetes" / "batch-job.yaml"
RULES, RULE_TESTS = CHART / "files" / "rules.yaml", DEPLOY / "prometheus" / "rules_test.yaml"
DASHBOARD, KSERVE = DEPLOY / "grafana" / "quartet.json", DEPLOY / "kserve" / "inferenceservice.yaml"
VERSIONS = "1.27", "1.32", "1.37"
FIRST = "# Rendered from deploy/helm/quartet with its default values: `make validate ARGS=--write`.\n"
# What the predictor has beside a pod's own fields.
OF_KSERVE = "minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "timeout"
WRONG = (  # values that the chart must refuse
    *("replicas=-1", "settings.no_such_setting=1", "unknown=1", "terminationGracePeriodSeconds=5", "feedback.url=1"),
    *("bundles.publicKey.file=1", "bundles.publicKey.secret=a,bundles.publicKey.configMap=b"),
)
OWN_KINDS = {
    "ServiceMonitor": "cloudcoil.models.prometheus_operator.v1",
    "PrometheusRule": "cloudcoil.models.prometheus_operator.v1",
    "ScaledObject": "cloudcoil.models.keda.v1alpha1",
}


class SkipError(Exception):
    """The tool is not here."""


def tool(name: str) -> str:
    """Its path, in this environment first. Raises SkipError."""
    found = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    if found is None:
        raise SkipError(f"{name} is not installed")
    return found


def complaints(*command: str | Path, cwd: Path | None = None) -> Iterator[str]:
    ran = subprocess.run([str(word) for word in command], capture_output=True, text=True, cwd=cwd, check=False)
    if ran.returncode:
        yield f"{Path(str(command[0])).name}: {(ran.stdout + ran.stderr).strip()}"


def dockerfile() -> Iterator[str]:
    yield from complaints(tool("hadolint"), DEPLOY.parent / "Dockerfile")


def rules() -> Iterator[str]:
    yield from complaints(tool("promtool"), "check", "rules", RULES)
    yield from complaints(tool("promtool"), "test", "rules", RULE_TESTS.name, cwd=RULE_TESTS.parent)


def dashboard() -> Iterator[str]:
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        for target in panel.get("targets", ()):
            query = target["expr"].replace("$__rate_interval", "5m")
            try:
                promql_parser.parse(query)
            except ValueError as error:
                yield f"{panel['title']}: {query}: {error}"


def variants() -> list[tuple[str, list[str]]]:
    """The values that the chart is rendered with: its own, and those of ci/."""
    found = [(path.stem, ["--values", str(path)]) for path in sorted(CHART.glob("ci/*.yaml"))]
    return [("default", []), *found]


def rendered(program: Path, values: Iterable[str]) -> str:
    command = [str(program), "template", "quartet", str(CHART), "--namespace", "default", *values]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise ValueError(ran.stderr.strip())
    return ran.stdout


def chart(program: Path) -> Iterator[str]:
    for name, values in variants():
        yield from complaints(program, "lint", "--strict", CHART, *values)
        try:
            for document in yaml.safe_load_all(rendered(program, values)):
                yield from (f"{name}: {text}" for text in object_complaints(document))
                if document["kind"] == "Deployment":
                    yield from (f"{name}: {text}" for text in volume_complaints(document))
        except ValueError as error:
            yield f"{name}: {error}"
    for wrong in (
        *WRONG,
        "terminationGracePeriodSeconds=5",
        "bundles.publicKey.secret=a,bundles.publicKey.configMap=b",
    ):
        try:
            rendered(program, ["--set", wrong])
            yield f"--set {wrong} was taken"
        except ValueError:
            pass


def volume_complaints(document: dict[str, Any]) -> Iterator[str]:
    """What no schema sees: a volume that nothing mounts, a mount without a volume."""
    pod = document["spec"].get("template", {}).get("spec", {})
    containers = [*pod.get("containers", ()), *pod.get("initContainers", ())]
    mounted = {mount["name"] for one in containers for mount in one.get("volumeMounts", ())}
    declared = {volume["name"] for volume in pod.get("volumes", ())}
    yield from (f"volume {name} is not both declared and mounted" for name in sorted(mounted ^ declared))


def object_complaints(document: dict[str, Any]) -> Iterator[str]:
    if document["kind"] in OWN_KINDS:
        yield from own_complaints(document)
        return
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{document['kind']} on {version}: {error.message}"


def own_complaints(document: dict[str, Any]) -> Iterator[str]:
    """Of an object that Kubernetes itself does not know. The models take any key: what they drop is unknown."""
    module = __import__(OWN_KINDS[document["kind"]], fromlist=["x"])
    try:
        model = getattr(module, document["kind"]).model_validate(document)
    except ValueError as error:
        yield f"{document['kind']}: {error}"
        return
    known = model.model_dump(by_alias=True, mode="json")
    yield from (f"{document['kind']}: there is no {path}" for path in unknown(document, known))


def unknown(given: Any, known: Any, path: str = "") -> Iterator[str]:
    if isinstance(given, dict) and isinstance(known, dict):
        for key, value in given.items():
            if key not in known:
                yield f"{path}.{key}"
            else:
                yield from unknown(value, known[key], f"{path}.{key}")
    elif isinstance(given, list) and isinstance(known, list):
        for i, (one, other) in enumerate(zip(given, known, strict=True)):
            yield from unknown(one, other, f"{path}[{i}]")


def manifests(program: Path) -> Iterator[str]:
    if RENDERED.read_text(encoding="utf-8") != FIRST + rendered(program, []):
        yield f"{RENDERED} is not what the chart renders: make validate ARGS=--write"
    yield from object_complaints(yaml.safe_load(BATCH_JOB.read_text(encoding="utf-8")))


def kserve() -> Iterator[str]:
    """The predictor as the pod that it becomes; KServe's own fields have no schema here."""
    service = yaml.safe_load(KSERVE.read_text(encoding="utf-8"))
    predictor = service["spec"]["predictor"]
    pod = {key: value for key, value in predictor.items() if key not in OF_KSERVE}
    yield from object_complaints({"apiVersion": "v1", "kind": "Pod", "metadata": service["metadata"], "spec": pod})


def checked(what: str, check: Callable[[], Iterator[str]]) -> bool:
    """Whether it is right, or cannot be told here."""
    try:
        found = list(check())
    except (SkipError, HelmError) as error:
        print(f"skip {what}: {error}")
        return True
    print("\n".join(f"fail {what}: {text}" for text in found) or f"ok   {what}")
    return not found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m deploy.validate", description=__doc__)
    parser.add_argument("--write", action="store_true", help="render deploy/kubernetes anew")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.write:
            RENDERED.write_text(FIRST + rendered(helm(4, Path(folder)), []), encoding="utf-8")
        checks: dict[str, Callable[[], Iterator[str]]] = {
            "Dockerfile (hadolint)": dockerfile,
            "rules (promtool check, test)": rules,
            "dashboard (promql-parser)": dashboard,
            "InferenceService, its pod": kserve,
        }
        for major in (3, 4):
            title = f"(helm {major}; Kubernetes {', '.join(VERSIONS)})"
            checks[f"chart {title}"] = lambda major=major: chart(helm(major, Path(folder)))  # type: ignore[misc]
            checks[f"manifests {title}"] = lambda major=major: manifests(helm(major, Path(folder)))  # type: ignore[misc]
        results = [checked(what, check) for what, check in checks.items()]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()

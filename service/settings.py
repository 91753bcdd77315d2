"""Settings of the service, read once from `QUARTET_*` environment variables and checked before anything starts."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from service.quota import cpu_quota

PREFIX = "QUARTET_"
MOST_WORKERS = 4
PROJECT = Path(__file__).resolve().parent.parent
LEAST_TOKEN = 16  # characters
LEAST_MEMORY = 2**14  # bytes: who sets less means megabytes
ORIGIN = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[^/\s?#@]+")

NameList = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda text: tuple(text.replace(",", " ").split()) if isinstance(text, str) else text),
]


def _pairs(text: object) -> object:
    """`a=1, b=2` as a dictionary."""
    if not isinstance(text, str):
        return text
    pairs = [pair.partition("=") for pair in text.replace(",", " ").split()]
    if wrong := next((name + equals for name, equals, value in pairs if not (name and value)), None):
        raise ValueError(f"{wrong!r} is no pair: write NAME=VALUE, separated by commas")
    return {name: value for name, _, value in pairs}


def _provider(name: str) -> str:
    if not re.fullmatch(r"cpu|cuda|auto|[A-Za-z]+ExecutionProvider", name):
        raise ValueError("write cpu, cuda, auto or ONNX Runtime's name of one, such as OpenVINOExecutionProvider")
    return name


def _memory(size: int) -> int:
    if 0 < size < LEAST_MEMORY:
        raise ValueError(f"{size} bytes hold nothing: write bytes, as in {size * 10**6} for {size} MB")
    return size


def _token(secret: SecretStr | None) -> SecretStr | None:
    if secret is not None and len(secret.get_secret_value()) < LEAST_TOKEN:
        raise ValueError(f"it is shorter than {LEAST_TOKEN} characters; `openssl rand -hex 32` makes a good one")
    return secret


def _origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    """As browsers send them, which are compared letter for letter."""
    if wrong := next((one for one in origins if not ORIGIN.fullmatch(one)), None):
        raise ValueError(f"{wrong!r} is no origin: write * or scheme and host alone, as in https://example.org")
    return origins


Memory = Annotated[int, Field(ge=0), AfterValidator(_memory)]
PerKind = Annotated[dict[str, str], BeforeValidator(_pairs)]
PerEndpoint = Annotated[dict[str, Annotated[float, Field(gt=0)]], BeforeValidator(_pairs)]


# What Kubernetes tells every container of a service whose name begins with ours.
SERVICE_LINK = re.compile(r"(.+_)?(service_host|service_port(_.+)?|port(_\d+_(tcp|udp|sctp)(_proto|_port|_addr)?)?)")


class SettingsError(Exception):
    """An environment variable that the service does not understand."""


class Settings(BaseModel):
    """One field per variable: `max_queue_rows` is `QUARTET_MAX_QUEUE_ROWS`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    models_dir: Path = Field(
        PROJECT / "models",
        description="Folder of the bundles. Without it: `models` beside the code, else in the working directory, else"
        " where `quartet models fetch` puts them.",
    )
    models: NameList = Field((), description="Models to serve, separated by commas or spaces; empty: all of them.")
    defaults: PerKind = Field(
        {},
        description="The model that answers where a request names none, by kind: `digit-classification=convnet`. Before"
        " `DEFAULTS` in the models folder; where neither says anything, the only model of a kind.",
    )
    provider: Annotated[str, AfterValidator(_provider)] = Field(
        "cpu",
        description=(
            "Execution provider. `cuda` refuses to start without a GPU; `auto` falls back to `cpu`; "
            "others by ONNX Runtime's name for them, such as `OpenVINOExecutionProvider`."
        ),
    )
    gpu_memory: Memory = Field(
        0,
        description="Bytes of the GPU's memory that the sessions of a process may take together; 0: as much as there"
        " is.",
    )
    precision: Literal["fp32", "tf32", "fp16"] = Field(
        "fp32",
        description="Of models whose bundle has measured it (docs/operate); others stay at `fp32`. `tf32` wants a GPU.",
    )
    threads: int = Field(0, ge=0, le=256, description="Threads of one inference; 0 shares the cpu quota among workers.")
    profile: Path | None = Field(None, description="File that `python -m service tune` wrote.")
    workers: int = Field(
        0, ge=0, le=64, description=f"Server processes; 0: one per core, at most {MOST_WORKERS}, and one on a GPU."
    )
    api_keys: Path | None = Field(
        None, description="File of API keys (docs/configuration.md); without one anybody may ask."
    )
    admin_token: Annotated[SecretStr | None, AfterValidator(_token)] = Field(
        None, description="Token for loading and unloading models; without one nobody may."
    )
    grpc_port: int = Field(0, ge=0, le=65535, description="Port of the gRPC service; 0: there is none.")
    grpc_host: str = Field("127.0.0.1", description="Address that the gRPC service listens on.")
    grpc_certificate: Path | None = Field(
        None, description="File of the certificate chain (PEM) of the gRPC service; without one it speaks no TLS."
    )
    grpc_private_key: Path | None = Field(
        None, description="File of its private key (PEM). Both are read again when they change."
    )
    cors_origins: Annotated[NameList, AfterValidator(_origins)] = Field(
        (), description="Origins whose pages may call the service, or `*`."
    )
    access_log: Literal["off", "errors", "all"] = Field("errors", description="Requests that get a line in the log.")
    max_connections: int = Field(
        4096, ge=1, description="Most connections of a process, and at most what the limit on open files leaves."
    )
    max_head_bytes: int = Field(64 * 2**10, ge=1024, description="Largest head of a request, give or take a packet.")
    head_timeout_s: float = Field(20.0, gt=0, le=3600, description="Time the head of a request may take to arrive.")
    max_body_bytes: int = Field(64 * 2**20, ge=1024, description="Largest request body; less for some endpoints.")
    body_limits: PerEndpoint = Field({}, description="The same for single endpoints, such as `score_credit=65536`.")
    max_pixels: int = Field(32 * 2**20, ge=1024, description="Largest picture or slice stack, in decoded pixels.")
    max_rows: int = Field(256, ge=1, description="Most samples in one request.")
    max_queue_rows: int = Field(2048, ge=1, description="Samples that may wait per model before requests get 429.")
    memory_budget: Memory = Field(
        0, description="Bytes that the requests of a process may hold together; 0: by the memory limit."
    )
    model_memory: int = Field(
        96 * 2**20,
        ge=0,
        description="Bytes of a process for models that are loaded when they are asked for. Beyond them the one asked"
        " longest ago makes room.",
    )
    timeout_s: float = Field(30.0, gt=0, le=3600, description="Time a request may take, from its last byte on.")
    timeouts_s: PerEndpoint = Field({}, description="The same for single endpoints, such as `denoise_ct=120`.")
    body_timeout_s: float = Field(20.0, gt=0, le=3600, description="Time the body of a request may take to arrive.")
    watch_s: float = Field(1.0, gt=0, le=3600, description="How often the models folder is looked at for new versions.")
    keep_versions: int = Field(
        3,
        ge=1,
        description="Versions of a model that `python -m service release prune` leaves, the latest ones, and on top of"
        " them the one that is served and the one before it.",
    )
    bundle_key: Path | None = Field(
        None, description="File of an Ed25519 public key (PEM): what is not signed by it is not served."
    )
    trial_s: float = Field(
        60.0, gt=0, le=3600, description="Time that a new version may take in the process that tries it first."
    )
    drift_window_s: float = Field(
        86400.0, ge=60, le=31 * 86400, description="How far back drift looks (docs/drift.md), in seconds."
    )
    feedback: SecretStr | None = Field(
        None,
        description="Where predictions and what turned out are kept (docs/feedback.md): a file, or a `postgresql://`"
        " URL where replicas share them; without it nothing is.",
    )
    feedback_days: float = Field(
        90.0, gt=0, le=3660, description="How long they are kept, from the prediction and from the outcome on."
    )
    drain_delay_s: float = Field(
        0.0, ge=0, le=600, description="Time between SIGTERM, when `/readyz` fails, and the end of accepting requests."
    )
    drain_s: float = Field(20.0, ge=0, le=600, description="Time that accepted work gets to finish after SIGTERM.")

    @property
    def processes(self) -> int:
        """Server processes, counted: each holds models of its own, hence the bound and the single one on a GPU."""
        automatic = min(cpu_quota(), MOST_WORKERS) if self.provider == "cpu" else 1
        return self.workers or automatic

    def timeout_of(self, endpoint: str) -> float:
        return self.timeouts_s.get(endpoint, self.timeout_s)

    def body_limit_of(self, endpoint: str, usual: int | None = None) -> int:
        """In bytes; `usual` is that of an endpoint which takes less than others."""
        most = self.max_body_bytes if usual is None else min(self.max_body_bytes, usual)
        return int(self.body_limits.get(endpoint, most))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Raises SettingsError naming the variable. An empty one counts as absent.

        Variables of training and of Kubernetes share the prefix and are left alone.
        """
        given = {
            key.removeprefix(PREFIX).lower(): value
            for key, value in environment.items()
            if key.startswith(PREFIX) and value
        }
        ours = {key: value for key, value in given.items() if key not in TRAINING_ONLY and not _links(key, value)}
        if unknown := ours.keys() - cls.model_fields.keys():
            variable = PREFIX + min(unknown).upper()
            raise SettingsError(f"{variable}: there is no such setting (docs/configuration.md has all of them)")
        if "models_dir" not in ours and (found := next(filter(_has_models, model_folders(environment)), None)):
            ours["models_dir"] = str(found)
        try:
            return cls.model_validate(ours)
        except ValidationError as error:
            first = error.errors()[0]
            variable = PREFIX + str(first["loc"][0]).upper()
            says = first["msg"].removeprefix("Value error, ")
            raise SettingsError(f"{variable}: {says} (docs/configuration.md says what may be set)") from None


def model_folders(environment: Mapping[str, str] = os.environ) -> tuple[Path, Path, Path]:
    """Where models are looked for, in this order, where no setting says it: beside the code, in the working directory,
    and where `quartet models fetch` puts them.
    """
    data = environment.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return PROJECT / "models", Path("models").absolute(), Path(data) / "quartet" / "models"


def _has_models(folder: Path) -> bool:
    try:
        return next(folder.glob("*/CURRENT"), None) is not None
    except OSError:
        return False


def _links(key: str, value: str) -> bool:
    """Whether a variable speaks of a service of the cluster, be it one called `quartet-grpc`."""
    return bool(SERVICE_LINK.fullmatch(key)) and (key not in Settings.model_fields or "://" in value)


TRAINING_ONLY = {"data", "runs"}

"""Settings come from QUARTET_* variables and are refused by name when they are wrong."""

import socket
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from service.engine.session import ProviderError
from service.quota import cpu_quota
from service.settings import MOST_WORKERS, Settings, SettingsError
from service.worker import Worker
from tests.conftest import Here


def test_an_empty_environment_gives_the_defaults() -> None:
    assert Settings.from_environment({"HOME": "/"}) == Settings()


def test_each_variable_sets_its_field() -> None:
    given = {
        "QUARTET_MODELS_DIR": "/models",
        "QUARTET_WORKERS": "3",
        "QUARTET_TIMEOUT_S": "2.5",
        "QUARTET_PROVIDER": "auto",
    }
    settings = Settings.from_environment(given)
    assert (settings.models_dir, settings.workers, settings.timeout_s) == (Path("/models"), 3, 2.5)
    assert settings.provider == "auto"


@pytest.mark.parametrize("text", ["a,b", "a b", " a, b ,"])
def test_a_list_is_separated_by_commas_or_spaces(text: str) -> None:
    assert Settings.from_environment({"QUARTET_MODELS": text}).models == ("a", "b")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("QUARTET_WORKERS", "-1"),
        ("QUARTET_WORKERS", "many"),
        ("QUARTET_PROVIDER", "tpu"),
        ("QUARTET_TIMEOUT_S", "-1"),
        ("QUARTET_TIMEOUT_S", "nan"),
        ("QUARTET_WORKER", "2"),
        ("QUARTET_GRPC_PORT", "http"),
        ("QUARTET_BODY_LIMITS", "score_credit=inf"),
        ("QUARTET_DEFAULTS", "credit"),
        ("QUARTET_CORS_ORIGINS", "https://example.org/"),
        ("QUARTET_CORS_ORIGINS", "example.org"),
    ],
)
def test_a_wrong_variable_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable}: "):
        Settings.from_environment({variable: value})


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("QUARTET_PROVIDER", "gpu", "write cpu, cuda, auto or"),
        ("QUARTET_ADMIN_TOKEN", "short", "it is shorter than 16 characters"),
        ("QUARTET_TIMEOUTS_S", "denoise_ct", "'denoise_ct' is no pair: write NAME=VALUE"),
        ("QUARTET_CORS_ORIGINS", "https://a.example https://b.example/x", "'https://b.example/x' is no origin"),
        ("QUARTET_MEMORY_BUDGET", "1024", "1024 bytes hold nothing: write bytes, as in 1024000000 for 1024 MB"),
        ("QUARTET_GPU_MEMORY", "8192", "8192 bytes hold nothing: write bytes"),
    ],
)
def test_the_refusal_of_a_setting_says_what_to_write(variable: str, value: str, says: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable}: {says}"):
        Settings.from_environment({variable: value})


@pytest.mark.parametrize("origins", ["*", "null", "https://example.org", "http://localhost:5173, app://quartet"])
def test_an_origin_is_what_a_browser_sends(origins: str) -> None:
    assert Settings.from_environment({"QUARTET_CORS_ORIGINS": origins}).cors_origins


def test_variables_of_training_are_left_alone() -> None:
    assert Settings.from_environment({"QUARTET_DATA": "/data", "QUARTET_RUNS": "/runs"}) == Settings()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("QUARTET_SERVICE_HOST", "10.0.0.1"),
        ("QUARTET_SERVICE_PORT_HTTP", "3000"),
        ("QUARTET_PORT", "tcp://10.0.0.1:3000"),
        ("QUARTET_PORT_3000_TCP_ADDR", "10.0.0.1"),
        ("QUARTET_GRPC_SERVICE_PORT", "8001"),
        ("QUARTET_GRPC_PORT", "tcp://10.0.0.1:8001"),
        ("QUARTET_MODELS_DIR", ""),
    ],
)
def test_what_a_cluster_says_of_its_services_is_left_alone_and_what_is_empty(variable: str, value: str) -> None:
    assert Settings.from_environment({variable: value}) == Settings()


def test_there_are_as_many_processes_as_cores_unless_a_gpu_or_the_operator_says_otherwise() -> None:
    cores = min(cpu_quota(), MOST_WORKERS)
    assert Settings.from_environment({}).processes == cores
    assert Settings.from_environment({"QUARTET_PROVIDER": "auto"}).processes == 1
    assert Settings.from_environment({"QUARTET_WORKERS": "3", "QUARTET_PROVIDER": "auto"}).processes == 3


def test_an_endpoint_may_have_a_time_out_and_a_body_limit_of_its_own() -> None:
    given = {"QUARTET_TIMEOUTS_S": "denoise_ct=120, classify_digits=0.5", "QUARTET_BODY_LIMITS": "score_credit=65536"}
    settings = Settings.from_environment(given)
    assert [settings.timeout_of(name) for name in ("denoise_ct", "classify_digits", "score_credit")] == [120, 0.5, 30]
    assert settings.body_limit_of("score_credit") == 65536
    assert settings.body_limit_of("denoise_ct") == settings.max_body_bytes
    assert settings.body_limit_of("generate_samples", 2**20) == 2**20
    assert Settings(max_body_bytes=1024).body_limit_of("generate_samples", 2**20) == 1024
    assert Settings(body_limits={"generate_samples": 2**30}).body_limit_of("generate_samples", 2**20) == 2**30


@pytest.mark.parametrize("text", ["denoise_ct", "denoise_ct=soon", "denoise_ct=0", "=3=4"])
def test_what_is_no_time_out_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="QUARTET_TIMEOUTS_S: "):
        Settings.from_environment({"QUARTET_TIMEOUTS_S": text})


def test_a_time_out_for_an_endpoint_that_does_not_exist_is_refused() -> None:
    settings = Settings.from_environment({"QUARTET_TIMEOUTS_S": "denoise_mri=3"})
    with pytest.raises(SettingsError, match="QUARTET_TIMEOUTS_S: .*denoise_mri.*denoise_ct"):
        Worker(settings)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"models_dir": Path("nowhere")}, "QUARTET_MODELS_DIR: nowhere is no folder"),
        ({"models": ("nobody",)}, "QUARTET_MODELS: .* holds no bundle of nobody"),
        ({"api_keys": Path("nowhere")}, "QUARTET_API_KEYS: nowhere cannot be read"),
        ({"api_keys": Path()}, "QUARTET_API_KEYS: . cannot be read"),
        ({"provider": "FooExecutionProvider"}, "FooExecutionProvider was asked for"),
        ({"bundle_key": Path("nowhere")}, "QUARTET_BUNDLE_KEY: nowhere is no Ed25519 public key"),
        ({"defaults": {"credit-scoring": "convnet"}}, "QUARTET_DEFAULTS: convnet is for digit-classification, not for"),
        ({"defaults": {"mri": "convnet"}}, "QUARTET_DEFAULTS: convnet is for digit-classification, not for mri"),
        ({"body_limits": {"denoise_mri": 1}}, "QUARTET_BODY_LIMITS: there is no endpoint 'denoise_mri'"),
        ({"feedback": SecretStr("nowhere/feedback.db")}, "QUARTET_FEEDBACK: nowhere is no folder"),
        ({"feedback": SecretStr("tests")}, "QUARTET_FEEDBACK: tests cannot be read: Is a directory"),
        ({"feedback": SecretStr("README.md")}, "QUARTET_FEEDBACK: README.md is another file"),
    ],
)
def test_what_the_settings_speak_of_has_to_be_there(given: dict[str, Any], says: str) -> None:
    with pytest.raises((SettingsError, ProviderError), match=says):
        Worker(Settings(**given))


def test_a_provider_that_starts_is_taken(toy_models: Path) -> None:
    Worker(Settings(models_dir=toy_models, provider="CPUExecutionProvider"))


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="this machine has a GPU")
def test_without_a_gpu_cuda_is_refused_at_the_start(toy_models: Path) -> None:
    with pytest.raises(ProviderError, match="CUDAExecutionProvider was asked for"):
        Worker(Settings(models_dir=toy_models, provider="cuda"))


def test_a_grpc_port_that_another_server_has_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(SettingsError, match="QUARTET_GRPC_PORT: "):
        Worker(Settings(grpc_port=other.getsockname()[1]))


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_pages_of_the_origins_that_are_named_may_do_all_that_there_is(toy_models: Path, method: str) -> None:
    origin = "https://app.example.org"

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("a preflight is answered before it")

    here = Here(Worker(Settings(models_dir=toy_models, cors_origins=(origin,))).asgi(inner))
    asked = {"access-control-request-method": method, "access-control-request-headers": "authorization"}
    answer = here("OPTIONS", "/v1/feedback/a", headers={"origin": origin} | asked)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, origin)
    assert here("OPTIONS", "/v1/feedback/a", headers={"origin": "https://other.example"} | asked).status_code == 400


def test_a_limit_on_open_files_that_leaves_none_for_connections_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.preflight.resource.getrlimit", lambda _: (64, 64))
    with pytest.raises(SettingsError, match="the limit on open files, 64, .*ulimit -n"):
        Worker(Settings())

"""Settings come from QUARTET_* variables and are refused by name when they are wrong."""

from pathlib import Path

import pytest

from service.quota import cpu_quota
from service.settings import MOST_WORKERS, Settings, SettingsError
from service.worker import Worker


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
    ],
)
def test_a_wrong_variable_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable}: "):
        Settings.from_environment({variable: value})


def test_variables_of_training_are_left_alone() -> None:
    assert Settings.from_environment({"QUARTET_DATA": "/data", "QUARTET_RUNS": "/runs"}) == Settings()


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


@pytest.mark.parametrize("text", ["denoise_ct", "denoise_ct=soon", "denoise_ct=0", "=3=4"])
def test_what_is_no_time_out_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="QUARTET_TIMEOUTS_S: "):
        Settings.from_environment({"QUARTET_TIMEOUTS_S": text})


def test_a_time_out_for_an_endpoint_that_does_not_exist_is_refused() -> None:
    settings = Settings.from_environment({"QUARTET_TIMEOUTS_S": "denoise_mri=3"})
    with pytest.raises(SettingsError, match="denoise_mri.*denoise_ct"):
        Worker(settings)

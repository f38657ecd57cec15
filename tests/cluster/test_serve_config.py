"""`serve_config.yaml` against Serve's own schemas: Serve would ignore an unknown key without a word."""

from __future__ import annotations

import copy
import inspect
import subprocess
import sys
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel
from ray.serve import schema

from cluster import applications
from cluster.platform.serve_api import CONFIG, read_config
from config.settings import Settings

Json = dict[str, Any]


def config() -> Json:
    return dict(yaml.safe_load(CONFIG.read_text()))


def unknown_keys(given: Json, model: type[BaseModel], path: str = "") -> list[str]:
    """Dotted names of keys in `given` that `model` does not declare, at any depth."""
    found = []
    for name, value in given.items():
        field = model.model_fields.get(name)
        if field is None:
            found.append(path + name)
            continue
        inner = _model_in(field.annotation)
        if inner is not None:
            for one in value if isinstance(value, list) else [value]:
                found += unknown_keys(one, inner, f"{path}{name}.")
    return found


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return annotation
    models = [model for part in get_args(annotation) if (model := _model_in(part))]
    return models[0] if models else None


def test_every_key_is_known_to_serve() -> None:
    assert unknown_keys(config(), schema.ServeDeploySchema) == []


@pytest.mark.parametrize(
    "place",
    [(), ("http_options",), ("applications", 0), ("applications", 0, "deployments", 0), ("logging_config",)],
)
def test_the_check_finds_a_key_at_every_depth(place: tuple[str | int, ...]) -> None:
    changed = copy.deepcopy(config())
    target: Any = changed
    for step in place:
        target = target[step]
    target["max_ongoing_request"] = 1
    assert [name.rpartition(".")[2] for name in unknown_keys(changed, schema.ServeDeploySchema)] == [
        "max_ongoing_request"
    ]


def test_serve_takes_the_values() -> None:
    schema.ServeDeploySchema.model_validate(config())


def test_args_are_those_of_the_builders_and_nothing_else() -> None:
    for application in config()["applications"]:
        module, _, name = application["import_path"].partition(":")
        assert module == applications.__name__
        assert name == application["name"]
        (argument,) = inspect.signature(getattr(applications, name)).parameters.values()
        assert issubclass(argument.annotation, BaseModel)  # a string would not be validated by Serve
        argument.annotation.model_validate(application["args"])
        with pytest.raises(ValueError, match="extra"):
            argument.annotation.model_validate({**application["args"], "secret": "x"})


def test_replicas_are_small_enough_to_be_replaced_on_two_processors() -> None:
    deployments = [one for application in config()["applications"] for one in application["deployments"]]
    cpus = sum(one["num_replicas"] * one["ray_actor_options"]["num_cpus"] for one in deployments)
    assert 2 * cpus <= 2
    assert all(one["max_surge_percent"] == 100 for one in deployments)


def test_the_proxy_listens_where_the_settings_say() -> None:
    settings = Settings.model_validate({"http": {"host": "127.0.0.2", "port": 8123}})
    deployed = read_config(settings)
    assert (deployed["http_options"]["host"], deployed["http_options"]["port"]) == ("127.0.0.2", 8123)
    assert deployed["applications"] == config()["applications"]


@pytest.mark.parametrize("name", ["gateway", "auth", "documents", "search", "processing"])
def test_http_applications_do_not_import_torch(name: str) -> None:
    look = (
        f"import sys, cluster.applications, deployments.{name}.app;"
        "print([module for module in ('torch', 'transformers') if module in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

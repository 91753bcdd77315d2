"""The tasks: every module here that has a `TASK` adds a route. Nothing else has to be told of it."""

import pkgutil
from importlib import import_module

from service.task import Task


def _found() -> tuple[Task, ...]:
    modules = (import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    return tuple(module.TASK for module in modules if hasattr(module, "TASK"))


TASKS = _found()
BY_PATH = {task.path: task for task in TASKS if task.kind is not None}
OF_A_MODEL = {task.path.rpartition("/")[2]: task for task in TASKS if task.kind is None}  # by the path's last part

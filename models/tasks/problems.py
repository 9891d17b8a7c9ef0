"""The problems that there are: each is a task with its own commands."""

from __future__ import annotations

from models.tasks.captioning import Captioning
from models.tasks.classifying import Classifying
from models.tasks.classifying_images import ClassifyingImages
from models.tasks.problem import Problem
from models.tasks.remembering import Remembering
from models.tasks.tagging import Tagging
from models.tasks.translating import Translating

PROBLEMS: tuple[type[Problem], ...] = (
    Captioning,
    Classifying,
    ClassifyingImages,
    Remembering,
    Tagging,
    Translating,
)

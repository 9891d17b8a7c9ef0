"""``python -m minigrad.exercises``: programs with a fault, to be found and mended."""

from __future__ import annotations

import argparse
import shutil
import sys
import textwrap
from pathlib import Path

from minigrad.exercises import checks_of_numbers, checks_of_tapes, checks_of_training
from minigrad.exercises.exercise import Exercise, told
from minigrad.files import printable, program

EXERCISES: dict[str, Exercise] = {
    each.name: each
    for room in (checks_of_tapes, checks_of_numbers, checks_of_training)
    for each in room.EXERCISES
}
"""All exercises, by their names, in the order of the book."""

COMMAND = "python -m minigrad.exercises"


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns 0, or 1 if an answer is wrong, or 2 if the command is."""
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description="Programs with one fault each: find it and mend it.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, help_ in (
        ("list", "all exercises; what is meant without a command"),
        ("start", "write the program to NAME.py, to be changed"),
        ("check", "run the program in NAME.py, and say what is still wrong"),
        ("hint", "a hint: the first one, or that with a number"),
        ("solution", "the lines with the fault, what mends them, and why"),
    ):
        command = commands.add_parser(name, help=help_, description=help_)
        if name != "list":
            which = "which exercise: its name, or its number in the list"
            command.add_argument("exercise", metavar="NAME", type=_exercise, help=which)
        if name == "check":
            command.add_argument("file", nargs="?", type=Path, help="the file (default: NAME.py)")
        if name == "hint":
            command.add_argument("number", nargs="?", type=int, default=1, help="which hint")
    given = sys.argv[1:] if arguments is None else arguments
    options = parser.parse_args([printable(each) for each in given])
    if options.command in (None, "list"):
        return _list()
    exercise: Exercise = options.exercise
    if options.command == "start":
        return _start(exercise)
    if options.command == "check":
        return _check(exercise, options.file or Path(f"{exercise.name}.py"))
    if options.command == "hint":
        return _hint(exercise, options.number)
    return _solution(exercise)


def _exercise(named: str) -> Exercise:
    """The exercise with this name or number; the name of its file will do, too."""
    name = named.removesuffix(".py")
    numbered = {str(number): each for number, each in enumerate(EXERCISES, 1)}
    try:
        return EXERCISES[numbered.get(name, name)]
    except KeyError:
        raise argparse.ArgumentTypeError(
            f"there is no exercise {named!r}; the list of all: {COMMAND}"
        ) from None


def _say(text: str) -> None:
    """Print a text in lines as long as the terminal, broken between words."""
    width = min(shutil.get_terminal_size().columns, 100)
    print(textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False))


def _list() -> int:
    for number, exercise in enumerate(EXERCISES.values(), 1):
        print(f"{number:2}  {exercise.name:14} {exercise.title}")
    print(f"\nBegin with one: {COMMAND} start {next(iter(EXERCISES))}")
    return 0


def _start(exercise: Exercise) -> int:
    file = Path(f"{exercise.name}.py")
    try:
        with file.open("x", encoding="utf-8", newline="\n") as new:
            new.write(exercise.program)
    except FileExistsError:
        print(f"{file} is there already; to begin anew, remove it first", file=sys.stderr)
        return 2
    print(f"{file} is written. Run it, find its fault and mend it; then:\n")
    print(f"  {COMMAND} check {exercise.name}\n  {COMMAND} hint {exercise.name}")
    return 0


def _check(exercise: Exercise, file: Path) -> int:
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        print(f"there is no {file}; `{COMMAND} start {exercise.name}` writes one", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{file} can't be read: {error.strerror}", file=sys.stderr)
        return 2
    wrong = told(exercise, content, str(file))
    if wrong is not None:
        print(f"Not yet: {printable(wrong, chr(10))}")
        return 1
    _say(f"Right. {exercise.why}")
    return 0


def _hint(exercise: Exercise, number: int) -> int:
    if not 1 <= number <= len(exercise.hints):
        print(f"there are {len(exercise.hints)} hints, not a hint {number}", file=sys.stderr)
        return 2
    _say(f"{number} of {len(exercise.hints)}: {exercise.hints[number - 1]}")
    if number < len(exercise.hints):
        print(f"\nThe next one: {COMMAND} hint {exercise.name} {number + 1}")
    return 0


def _solution(exercise: Exercise) -> int:
    wrong, right = (lines.strip("\n") for lines in exercise.mend)
    print(f"Instead of\n\n{wrong}\n\nwrite\n\n{right}\n")
    _say(exercise.why)
    return 0


if __name__ == "__main__":
    with program():
        sys.exit(main())

"""The documentation names only what exists, and its examples run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.main import get_command

import octavo
from octavo.commands.app import app

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", *sorted(DOCS.glob("*.md")))
# the plan in development.md names options that are still to come
USER_PAGES = tuple(page for page in PAGES if page.name != "development.md")
COMMANDS = get_command(app).commands  # type: ignore[attr-defined]  # an app of several commands
FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r"(?<![\w-])(--[a-z][a-z0-9-]*|-[a-z])\b(?!-)")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: what stands behind the fence.
        text: its lines.
        line: the number of its first line, from 0.
    """

    language: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(found["language"], found["text"], text.count("\n", 0, found.start("text")))
        for found in FENCE.finditer(text)
    ]


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def whole_lines(text: str) -> str:
    return re.sub(r"\\\n\s*", " ", text)


def options_of(command: str) -> set[str]:
    parameters = COMMANDS[command].params
    names = {name for one in parameters for name in (*one.opts, *one.secondary_opts)}
    return {name for name in names if name.startswith("-")} | {"--help"}


ANY_OPTION = set().union(*map(options_of, COMMANDS), {"--version", "--install-completion"})


def command_lines(page: Path) -> Iterator[list[str]]:
    """Yield the words behind `octavo` of every command, in blocks, indented or in the text."""
    found = blocks(page)
    shell = whole_lines("".join(block.text for block in found if block.language == "sh"))
    shown = whole_lines("".join(block.text for block in found if block.language in ("", "text")))
    text = whole_lines(prose(page))
    lines = [line.strip() for line in shell.splitlines()]
    lines += re.findall(r"^ *\$ (.+)$", shown, re.MULTILINE)
    lines += re.findall(r"^    (octavo .+)$", text, re.MULTILINE)
    lines += re.findall(r"`([^`\n]+)`", text)
    for line in lines:
        command = re.fullmatch(r"(?:\w+=\S+ )*octavo (?P<rest>.*)", line)
        if command:
            yield shlex.split(re.split(r" [>|] | #", command["rest"])[0])


def slugs(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def section(page: Path, heading: str) -> str:
    after = page.read_text().split(f"\n## {heading}\n", 1)[1]
    return after.split("\n## ", 1)[0]


def options_in(text: str) -> set[str]:
    """Return the options in code within a text, those of other programs aside."""
    spans = [span for span in re.findall(r"`([^`\n]+)`", text) if _is_ours(span.split()[0])]
    return {option for span in spans for option in OPTION.findall(span)}


def _is_ours(first: str) -> bool:
    return first.startswith("-") or first in COMMANDS or first == "octavo"


@pytest.mark.parametrize("page", USER_PAGES, ids=lambda page: page.name)
def test_every_command_line_is_understood(page: Path) -> None:
    for words in command_lines(page):
        if words[0] in ("COMMAND", "--version", "--help", "--install-completion"):
            continue
        assert words[0] in COMMANDS, f"there is no command {words[0]!r}"
        given = {word.split("=")[0] for word in words[1:] if OPTION.fullmatch(word.split("=")[0])}
        assert given <= options_of(words[0]), f"octavo {' '.join(words)}"
        if len(words) > 1:  # else it is only named
            COMMANDS[words[0]].make_context(words[0], words[1:])


@pytest.mark.parametrize("page", USER_PAGES, ids=lambda page: page.name)
def test_every_option_in_the_text_exists(page: Path) -> None:
    assert options_in(prose(page)) <= ANY_OPTION


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented_with_its_own_options(command: str) -> None:
    named = options_in(section(DOCS / "commands.md", f"octavo {command}"))
    own = options_of(command) - {"--help"}
    shared = set() if command == "quantize" else {"--json", "--debug", "--trust"}
    assert own - shared <= named


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name} links to {link}"
        assert not anchor or anchor in slugs(target), f"{page.name} links to {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_names_a_folder_of_this_machine(page: Path) -> None:
    assert str(ROOT) not in page.read_text()
    assert not re.search(r"/(tmp|root|home|work)/", page.read_text())


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the examples call `demo-int8`, made from less data."""
    return (
        octavo.quantize(
            ROOT / "examples/digits/scenes.onnx",
            calibration="digits:50",
            evaluation="digits:50",
            seconds=0.3,
            output=tmp_path_factory.mktemp("made") / "demo-int8",
        ).folder
        or Path()
    )


@pytest.fixture
def place(tmp_path: Path, artifact: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like the root of the repository."""
    for name in ("examples", "benchmarks"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "demo-int8").symlink_to(artifact)
    (tmp_path / "build").mkdir()
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def run(arguments: list[str], place: Path) -> None:
    done = subprocess.run(arguments, cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def program(page: Path) -> str:
    """Return the Python blocks of a page as one program, on the lines they have in the page."""
    lines: list[str] = []
    for block in blocks(page):
        if block.language == "python":
            lines += [""] * (block.line - len(lines)) + block.text.splitlines()
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", ["python.md", "data.md", "onnx.md", "artifact.md"])
def test_the_python_blocks_run(name: str, place: Path) -> None:
    script = place / f"{name}.py"
    script.write_text(program(DOCS / name))
    run([sys.executable, str(script)], place)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["commands.md", "data.md", "onnx.md", "artifact.md"])
def test_the_commands_run(name: str, place: Path) -> None:
    """In the order of the page. A loaded machine may find INT8 no faster: exit code 4 will do."""
    (place / "demo-int8").unlink()
    allowed = 'octavo() { command octavo "$@" || [ $? -eq 4 ]; }\n'
    if name == "artifact.md":  # it shows the artifact that commands.md makes
        run(["bash", "-ec", allowed + blocks_of_quantize()], place)
    for block in blocks(DOCS / name):
        if block.language == "sh":
            run(["bash", "-ec", allowed + block.text], place)
        elif block.language == "python":
            run([sys.executable, "-c", block.text], place)


def blocks_of_quantize() -> str:
    return next(b.text for b in blocks(DOCS / "commands.md") if "-o demo-int8" in b.text)

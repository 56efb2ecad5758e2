"""What the documents show has to work: files load, commands exist, links lead somewhere, generated pages are current."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

import reference
from nexus.cli.inspect import check
from nexus.config import load, loads
from pages import DOCS, PAGES, ROOT, SITE, blocks, keys, named


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_toml_blocks_load(page: Path) -> None:
    for block in blocks(page, "toml"):
        assert loads(block, keys(block), named(page)).warnings == ()


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_json_and_python_blocks_are_valid(page: Path) -> None:
    for block in blocks(page, "json"):
        msgspec.json.decode(block)
    for block in blocks(page, "python"):
        compile(block, named(page), "exec")


def test_recipes_are_complete_files_that_pass_nexus_check(tmp_path: Path) -> None:
    recipes = blocks(DOCS / "how-to" / "governance.md", "toml")
    assert len(recipes) >= 6
    for number, recipe in enumerate(recipes):
        file = tmp_path / f"{number}.toml"
        if "[server.tls]" in recipe:  # its certificate is on another machine
            recipe = re.sub(r"\[server\.tls\]\n.*?\n\n", "", recipe, flags=re.DOTALL)
        file.write_text(recipe)
        assert check(file, keys(recipe)) == 0, recipe


@pytest.mark.parametrize("file", sorted(ROOT.glob("examples/**/*.toml")), ids=named)
def test_example_files_are_good(file: Path) -> None:
    assert load(file, keys(file.read_text())).warnings == ()


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.is_file() or (page not in SITE and there.is_dir()), target
        on_the_site = DOCS in there.parents
        assert on_the_site or page not in SITE, f"{target} is not on the site"
        assert not anchor or anchor in anchors(there), target


def anchors(page: Path) -> set[str]:
    """Give the anchors of a page's titles."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


COMMANDS = dict(reference.commands())
PROGRAMS = ("nexus", "nexus-agents")


def shell(page: Path) -> Iterator[list[str]]:
    """Give the simple commands of the shell blocks of a page, as words."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            if line.count("'") % 2 == 0:
                yield from (part for part in split(line) if part)


def split(line: str) -> Iterator[list[str]]:
    """Split a line into simple commands, without the variables in front."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;>")
    lexer.whitespace_split = True
    words = list[str]()
    for word in (*lexer, ";"):
        if set(word) <= set("|&;>"):
            yield words
            words = []
        elif words or not re.fullmatch(r"\w+=.*", word):
            words.append(word)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_shown_is_there_with_its_flags(page: Path) -> None:
    for words in shell(page):
        program = Path(words[0]).name
        if program in PROGRAMS:
            assert_known(program, words[1:])
        for word in words:
            if word.startswith("examples/"):
                assert (ROOT / word).is_file(), word


def assert_known(command: str, words: list[str]) -> None:
    """Follow the words into subcommands, and check that each flag is one of theirs."""
    taken = flags(COMMANDS[command])
    for word in words:
        if f"{command} {word}" in COMMANDS:
            command = f"{command} {word}"
            taken |= flags(COMMANDS[command])
        elif word.startswith("-") and word != "-":
            assert word.partition("=")[0] in taken, f"{command} {word}"


def flags(command: Any) -> set[str]:
    return {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help"}


def test_every_make_target_of_the_pages_is_there() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    told = {name for page in PAGES for name in re.findall(r"`make ([a-z]+)`", page.read_text())}
    run = {words[1] for page in PAGES for words in shell(page) if words[0] == "make"}
    assert told | run <= targets


def test_every_page_is_in_the_navigation_once() -> None:
    def pages(entry: Any) -> Iterator[str]:
        if isinstance(entry, str):
            yield entry
            return
        inner = entry.values() if isinstance(entry, dict) else entry  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]  # YAML
        for one in inner:  # pyright: ignore[reportUnknownVariableType]  # YAML
            yield from pages(one)

    listed = list(pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    there = {str(page.relative_to(DOCS)) for page in SITE}
    assert len(listed) == len(set(listed))
    assert set(listed) == there


def test_the_generated_pages_are_current() -> None:
    assert (reference.FOLDER / "http.md").read_text() == reference.http(), "run: make docs"
    assert (reference.FOLDER / "cli.md").read_text() == reference.cli(), "run: make docs"
    assert reference.README.read_text() == reference.readme(), "run: make docs"


def test_every_command_says_what_it_does() -> None:
    for name, command in COMMANDS.items():
        assert command.help, name
        for one in command.params:
            assert one.help, f"{name} {one.name}"
        for one in command.params:
            assert one.help or name.startswith("nexus-agents ") or one.param_type_name == "argument", (
                name,
                one.name,
            )


def test_every_file_the_architecture_names_is_there() -> None:
    text = re.sub(r"```.*?```", "", (DOCS / "architecture.md").read_text(), flags=re.DOTALL)
    for name in re.findall(r"`([\w/*]+\.py|[\w/]+/)`", text):
        places = (
            ROOT,
            ROOT / "src" / "nexus",
            *(ROOT / "src" / "nexus" / room for room in ("llm", "server")),
        )
        assert any(any(place.glob(name.rstrip("/"))) for place in places), name

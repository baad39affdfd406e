"""The documentation: every page can be reached from the README, and no link leads nowhere."""

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
PAGES = [*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")]


def targets(page):
    """Return the files of the project that a page links to or shows."""
    # A page that is quoted shows what lies beside it, not here.
    text = re.sub(r"^>.*$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    paths = [link.partition("#")[0] for link in links if "://" not in link]
    return {(page.parent / path).resolve() for path in paths if path}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_lead_somewhere(page):
    missing = [path for path in targets(page) if not path.exists()]
    assert not missing


def test_every_page_is_reached_from_the_readme():
    reached, found = set(), {PROJECT / "README.md"}
    while found - reached:
        page = (found - reached).pop()
        reached.add(page)
        found |= {path for path in targets(page) if path.suffix == ".md" and path.exists()}
    assert {page for page in PAGES if page.is_relative_to(PROJECT / "docs")} <= reached


def test_every_figure_is_shown():
    shown = set().union(*map(targets, PAGES))
    assert set((PROJECT / "docs" / "figures").iterdir()) <= shown

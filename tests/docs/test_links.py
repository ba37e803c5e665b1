"""Links, file names and metric names in the documents exist. MkDocs checks the links inside the site."""

import re

import pytest
from prometheus_client import generate_latest

from lorb_server.telemetry.metrics import Metrics
from support.documents.documents import DOCUMENTS, OUTSIDE, ROOT, inline_code, name_of

FOLDERS = ("adapters/", "benchmarks/", "client/", "docs/", "proto/", "server/", "tests/")


def anchors(text):
    """Returns the anchors that GitHub generates for the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", OUTSIDE, ids=name_of)
def test_links_lead_to_files_and_headings(document):
    """Each relative link names an existing file, and an existing heading if it has an anchor."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text("utf-8")):
        path, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        place = document.parent / path if path else document
        if not place.exists() or (anchor and anchor not in anchors(place.read_text("utf-8"))):
            broken.append(link)
    assert broken == []


def test_files_named_in_documents_exist():
    """Each path in backquotes that begins with a folder of the project exists."""
    missing = [
        str(code)
        for document in DOCUMENTS
        for code in inline_code(document)
        if code.text.startswith(FOLDERS) and "*" not in code.text and not (ROOT / code.text).exists()
    ]
    assert missing == []


def test_metrics_named_in_documents_are_exported():
    """The server exports each metric that a document names in backquotes."""
    exported = set(re.findall(r"^# HELP (\w+)", generate_latest(Metrics().registry).decode(), re.MULTILINE))
    names = {match for code in map(str, all_inline()) for match in re.findall(r"\blorb_\w+", code)}
    names -= {
        "lorb_cli",
        "lorb_client",
        "lorb_adapters",
        "lorb_server",
        "lorb_",
        "lorb_default",
    }  # packages, a prefix, and the network of compose
    assert names
    assert {name for name in names if re.sub(r"_(bucket|sum|count|created)$", "", name) not in exported} == set()


def all_inline():
    """Returns the inline code of all documents."""
    return [code for document in DOCUMENTS for code in inline_code(document)]

"""The site builds without warnings, loads nothing from other hosts, and has complete references."""

import dataclasses
import html
import os
import re
import subprocess
import sys
from enum import Enum

import pytest

import lorb
import lorb_client
from lorb.formats import FormatOptions, ListRecord, Notices
from lorb.server_info import ServerInfo
from lorb.v1 import admin_pb2, rescoring_pb2
from lorb_client.calls import CallSettings
from support.documents.commands import SCRIPTS, parser_of
from support.documents.documents import PAGES, ROOT

pytest.importorskip("mkdocs", reason="the docs extra is not installed: pip install 'lorb[docs]'")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site, built strictly."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(  # noqa: S603 - our own site
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def text_of(page):
    """Returns the text of a page without tags."""
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text("utf-8")))


def test_every_page_is_built(site):
    """The strict build succeeds and writes every page, including the generated ones."""
    built = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    written = {path.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for path in PAGES}
    assert built >= written | {"reference/protocol.html", "reference/commands.html"}


def test_pages_load_nothing_from_elsewhere(site):
    """No script, style, font or image comes from another host, so that the site works offline."""
    for page in site.rglob("*.html"):
        text = page.read_text("utf-8")
        loaded = re.findall(r"<(?:script|img|iframe)[^>]*\bsrc=[\"']?([^\"' >]+)", text)
        loaded += re.findall(r"<link[^>]*rel=[\"']?(?:stylesheet|preconnect)[^>]*href=[\"']?([^\"' >]+)", text)
        assert [url for url in loaded if re.match(r"(?:https?:)?//", url)] == [], page.name


@pytest.mark.parametrize("module", [rescoring_pb2, admin_pb2], ids=["rescoring", "admin"])
def test_the_protocol_page_has_every_name(site, module):
    """The page contains each service, call, message, field, enum and value of the proto files."""
    file = module.DESCRIPTOR
    names = {name for service in file.services_by_name.values() for name in (service.name, *service.methods_by_name)}
    for message in file.message_types_by_name.values():
        names |= {message.name, *message.fields_by_name}
    for enum in file.enum_types_by_name.values():
        names |= {enum.name, *enum.values_by_name}
    words = set(re.findall(r"\w+", text_of(site / "reference" / "protocol.html")))
    assert names - words == set()


def test_every_name_of_the_protocol_is_explained(site):
    """Each row of the tables on the protocol page has a description."""
    text = (site / "reference" / "protocol.html").read_text("utf-8")
    rows = re.findall(r"<tr>\s*<td>(.*?)</tr>", text, re.DOTALL)
    assert len(rows) > 60
    assert [row for row in rows if re.search(r"<td>\s*</td>\s*$", row)] == []


def test_the_commands_page_has_every_flag(site):
    """The page contains each command with all of its flags."""
    text = text_of(site / "reference" / "commands.html")
    for command in SCRIPTS:
        assert command in text
        shown = [action for action in parser_of(command)._actions if action.help != "==SUPPRESS=="]
        assert [flag for action in shown for flag in action.option_strings if flag not in text] == []


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("client", ("rescore_batch", "timeout_seconds", "AioClient")),
        ("lorb", ("first_pass_score", "fallback_policy", "MalformedFile", "acoustic_scale")),
        ("store", ("weights_digest", "switching_margin", "log_probabilities")),
    ],
)
def test_references_are_generated_from_docstrings(site, page, words):
    """The Python pages contain names that only the docstrings have."""
    text = text_of(site / "reference" / f"{page}.html")
    assert [word for word in words if word not in text] == []


PUBLIC = [
    *(("lorb", f"{kind.__module__}.{kind.__name__}", kind) for kind in (getattr(lorb, name) for name in lorb.__all__)),
    ("lorb", "lorb.server_info.ServerInfo", ServerInfo),
    *(("lorb", f"lorb.formats.{kind.__name__}", kind) for kind in (ListRecord, FormatOptions, Notices)),
    *(("client", f"lorb_client.{name}", getattr(lorb_client, name)) for name in lorb_client.__all__),
    ("client", "lorb_client.calls.CallSettings", CallSettings),
]


def entry_of(page, name):
    """Returns the HTML between a name's heading and the next heading, without the signature."""
    begin = page.index(f'id="{name}"')
    entry = re.split(r"<h[1-6] ", page[page.index("</h", begin) :], maxsplit=1)[0]
    return re.sub(r'<div class="doc-signature.*?</div>', "", entry, flags=re.DOTALL)


@pytest.mark.parametrize(("page", "name", "kind"), PUBLIC, ids=[name for _, name, _ in PUBLIC])
def test_every_public_class_is_described(site, page, name, kind):
    """The reference describes each public class, each member of an enum and each field of a dataclass."""
    text = (site / "reference" / f"{page}.html").read_text("utf-8")
    members = [f"{name}.{member.name}" for member in kind] if issubclass(kind, Enum) else []
    for described in (name, *members):
        assert re.search(r"<p>[^<]*\w{3}", entry_of(text, described)), described
    rows = re.findall(
        r'<td><code>(?:<span[^>]*>)?(\w+)(?:</span>)?</code></td>.*?<div class="doc-md-description">\s*<p>(.*?)</p>',
        entry_of(text, name),
        re.DOTALL,
    )
    fields = {field.name for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    assert fields <= {field for field, description in rows if description.strip()}

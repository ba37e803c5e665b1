"""The page of a run: complete without other files, made of report.json alone, and safe with any text."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

from lorb_adapters.training.report.pages import report_markdown, run_page
from lorb_adapters.training.report.report import Report, read_report

PUBLISHED = Path(__file__).parents[4] / "adapters/store/librispeech/versions/2-d4fb57d63d88"
VOID = {"meta", "path", "use", "line", "rect"}


class Page(HTMLParser):
    """A strict parser: it checks that elements are closed in order, and collects tags, attributes and text."""

    def __init__(self, content):
        super().__init__()
        self.open, self.tags, self.attributes, self.text, self.ids = [], [], [], "", []
        self.feed(content)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        self.ids += [value for name, value in attributes if name == "id"]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.open.remove(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_needs_no_other_file(report_folder):
    """A page has no script, link, image, import or address; references stay inside it, and ids are unique."""
    content = (report_folder / "report.html").read_text()
    page = Page(content)
    assert not {"script", "link", "img", "iframe", "object", "image"} & set(page.tags)
    assert [value for name, value in page.attributes if name == "src"] == []
    assert all(value.startswith("#") for name, value in page.attributes if name in ("href", "xlink:href"))
    assert "http" not in content
    assert "@import" not in content
    assert len(page.ids) == len(set(page.ids))
    assert page.tags.count("svg") == 3 + 2 * 3


def test_the_page_depends_on_report_json_only(report_folder, report_json):
    """The page rendered from report.json equals the page that the trainer wrote, byte for byte."""
    again = run_page(Report.parse(report_json, "report.json"))
    assert again == (report_folder / "report.html").read_text()


def test_the_page_shows_the_reports_figures(report_folder, report_json):
    """The page shows the rates of each set, costs, settings, findings and the command."""
    text = Page((report_folder / "report.html").read_text()).text
    figures = json.loads(report_json)
    for each in figures["sets"].values():
        assert f"{each['rescored_wer']:.2f}" in text
        low, high = each["wer_change_interval_95"]
        assert f"{low:+.2f} to {high:+.2f}" in text
        if each["mapsswe"] is not None:
            assert f"{each['mapsswe']['z']:+.2f}" in text
    for each in figures["calibration"].values():
        assert f"{each['expected_calibration_error']:.3f}" in text
    for each in figures["audit"]["findings"]:
        assert each["advice"] in text
    assert f"{figures['parameters']['adapter_bytes']:,} bytes" in text
    assert f"{figures['cost']['seconds'] / 60:.1f}" in text
    assert "--learning-rate 1e-2" in text
    for loss in ("mwer", "correlation", "r-drop"):
        assert loss in text


def test_folds_of_single_lists_have_both_reasons(report_json):
    """If each dev list is a fold's group, the ids tell no speaker, or one speaker has more than half of the lists."""
    figures = json.loads(report_json)
    cross_fit = figures["cross_fitted_dev"]
    cross_fit["groups"] = cross_fit["figures"]["utterances"]
    markdown = report_markdown(Report.parse(json.dumps(figures).encode(), "report.json"))
    reason = "because the ids tell no speaker or dialogue, or one has more than half of the lists"
    assert f"folds of single lists, {reason};" in markdown


def test_texts_are_escaped(report_json):
    """Markup in a transcript, id, set name, domain or other text is shown as text."""
    hostile = "<script>alert('1')</script> & \"x\""
    figures = json.loads(report_json)
    figures["domain"] = figures["command"] = figures["base"]["name"] = figures["config"]["head"] = hostile
    figures["lists"][hostile] = 1
    figures["data_sha256"][hostile] = hostile
    dev = figures["sets"]["dev"]
    example = {"id": hostile, "reference": hostile, "first_pass": f"a {hostile}", "rescored": "", "rescored_errors": 4}
    dev["fixed"] = dev["broken"] = [example | {"first_pass_errors": 1}]
    figures["sets"][hostile] = dev | {"fixed": [], "broken": []}
    for step in figures["losses"]:
        step["losses"][hostile] = 1.0
    page = Page(run_page(Report.parse(json.dumps(figures).encode(), "report.json")))
    assert "script" not in page.tags
    assert hostile in page.text


def test_word_errors_are_marked(report_json):
    """Wrong and inserted words are marked, and missing words are struck through."""
    figures = json.loads(report_json)
    figures["sets"]["dev"]["broken"] = []
    figures["sets"]["dev"]["fixed"] = [
        {
            "id": "1", "reference": "there is iron", "first_pass": "they is iron now", "first_pass_errors": 2,
            "rescored": "there iron", "rescored_errors": 1,
        }
    ]  # fmt: skip
    content = run_page(Report.parse(json.dumps(figures).encode(), "report.json"))
    assert "<mark>they</mark> is iron <mark>now</mark>" in content
    assert "there <del>is</del> iron" in content


def test_a_page_without_examples_says_so(report_json):
    """If texts were left out of the report, the page says so and does not claim that no list changed."""
    figures = json.loads(report_json)
    dev = figures["sets"]["dev"]
    dev.update(fixed=[], broken=[], lists_fixed=3)
    assert "Texts were left out" in run_page(Report.parse(json.dumps(figures).encode(), "report.json"))


def test_a_minimal_report_is_rendered(report_json):
    """A report with one NaN loss, one evaluation, no weights, an empty set and zero seconds is rendered."""
    figures = json.loads(report_json)
    figures["losses"] = [{"step": 1, "losses": {"mwer": None}}]
    figures["dev"], figures["weight_curve"] = figures["dev"][:1], []
    figures["cost"]["seconds"] = 0
    figures["sets"]["dev"].update(by_length=[], by_depth=[], by_posterior=[], words=0)
    assert Page(run_page(Report.parse(json.dumps(figures).encode(), "report.json"))).tags.count("svg") == 9


def test_a_published_report_is_rendered_as_it_was_published():
    """The Markdown of a report.json published by an older LoRB has its report.md's lines, in today's words."""
    published = (PUBLISHED / "report.md").read_text()
    for old, new in (("recovered gap", "oracle gap closed"), ("fixed", "improved"), ("broken", "worsened")):
        published = published.replace(old, new).replace(old.capitalize(), new.capitalize())
    rendered = report_markdown(read_report(PUBLISHED))
    assert without_padding(rendered) == without_padding(published)


def test_the_rows_of_dev_say_what_they_are(report_json):
    """Dev has a row as tuned and one cross-fitted, which decides; neither is called optimistic."""
    figures = json.loads(report_json)
    cross_fit = figures["cross_fitted_dev"]
    cross_fit["figures"].update(rescored_wer=7.77, probability_of_improvement=0.1234)
    report = Report.parse(json.dumps(figures).encode(), "report.json")
    markdown, page = report_markdown(report), Page(run_page(report)).text
    row = next(line for line in markdown.splitlines() if line.startswith("| dev, cross-fitted |"))
    assert "**7.77**" in row
    assert "0.1234" in row
    for text in (markdown, page):
        assert "dev, as tuned" in text
        assert "decides on publication and must be at least 0.95" in text
        assert f"{cross_fit['folds']} folds of" in text
        assert f"{cross_fit['evaluations']} evaluations to choose from" in text
        assert "optimistic" not in text


def test_a_run_begun_by_an_older_release_says_what_it_lacks(report_json):
    """If the scores of some evaluations were not kept, the report names how many there were to choose from."""
    figures = json.loads(report_json)
    figures["cross_fitted_dev"]["evaluations"] = 1
    report = Report.parse(json.dumps(figures).encode(), "report.json")
    assert f"1 evaluation to choose from, not {len(figures['dev'])}, because an older" in report_markdown(report)


def without_padding(markdown):
    """The lines of a document whose tables may be aligned or not."""
    return [re.sub(r"-{3,}", "---", " ".join(line.split())) for line in markdown.splitlines()]


def test_a_name_cannot_break_a_markdown_table(report_json):
    """A "|" in the name of a set is escaped in report.md."""
    figures = json.loads(report_json)
    figures["sets"]["a|b"] = figures["sets"]["dev"]
    assert "| a\\|b | " in report_markdown(Report.parse(json.dumps(figures).encode(), "report.json"))


def test_matplotlib_is_imported_late():
    """Commands and training modules do not import matplotlib; drawing does, and never imports pyplot."""
    code = (
        "import sys, lorb_adapters.training.run\n"
        "import lorb_adapters.training.cli.train_adapter, lorb_adapters.training.cli.compare\n"
        "import lorb_adapters.training.report.pages\n"
        "assert 'matplotlib' not in sys.modules\n"
        "from lorb_adapters.training.report.svg import svg\n"
        "svg('one', lambda axes: None)\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - this very interpreter

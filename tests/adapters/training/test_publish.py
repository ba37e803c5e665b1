"""Publishing: a report that is too large for the store."""

import json

from msgspec import structs

from lorb.formats import read_nbest_lists
from lorb_adapters.store.version_files import MAX_BYTES, REPORT_JSON, REPORT_MD
from lorb_adapters.training.config import TrainConfig
from lorb_adapters.training.data.dataset import Dataset
from lorb_adapters.training.data.encoded_lists import encode_lists
from lorb_adapters.training.publish import make_publication
from lorb_adapters.training.report.report import Report


def test_a_report_of_very_many_lists_is_published_without_their_errors(
    report_json, store, store_base, publication, sample
):
    """The word errors of 500,000 lists exceed the store's limit: the adapter was refused after training."""
    report = Report.parse(report_json, "report.json")
    config = TrainConfig()
    train = encode_lists(
        read_nbest_lists([sample / "train.jsonl.gz"]), store_base.text_encoder, config.normalization, uses_context=False
    )
    data = Dataset(train, dev=[], test=[], ood=[], num_held_out=0, audit=report.audit)

    def files_of(report):
        content = make_publication(report, config, publication.weights, data, publication.golden_lists)
        version = store.publish(content, set_stable=True)
        return store.read_files(report.domain, version)

    test = report.sets["test"]
    errors = test.list_errors * (500_000 // len(test.list_errors))
    large = structs.replace(report, sets=report.sets | {"test": structs.replace(test, list_errors=errors)})
    assert len(large.to_json()) > MAX_BYTES[REPORT_JSON]
    files = files_of(large)
    published = Report.parse(files[REPORT_JSON], REPORT_JSON)
    assert published == report.without_list_errors()
    assert b"leaves out the word errors of each list" in files[REPORT_MD]
    assert files_of(report)[REPORT_JSON] == report_json
    assert json.loads(report_json)["sets"]["test"]["list_errors"]

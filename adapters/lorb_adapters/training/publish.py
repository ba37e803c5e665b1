"""Publishes the adapter of a finished run in a store."""

from dataclasses import dataclass

from safetensors.torch import save

from lorb.errors import InvalidInput
from lorb_adapters.lora.weights import AdapterWeights, adapter_state_dict
from lorb_adapters.store.adapter import Publication, head_state_dict, weights_digest
from lorb_adapters.store.layout import version_number
from lorb_adapters.store.manifest import GoldenList
from lorb_adapters.store.signing import SigningKey
from lorb_adapters.store.store import Store
from lorb_adapters.store.version_files import MAX_BYTES, REPORT_JSON
from lorb_adapters.training.config import TrainConfig
from lorb_adapters.training.data.dataset import Dataset
from lorb_adapters.training.data.first_pass import first_pass_statistics
from lorb_adapters.training.loop import TrainedModel
from lorb_adapters.training.methods import Method
from lorb_adapters.training.publish_decision import check_improves
from lorb_adapters.training.report.pages import report_markdown
from lorb_adapters.training.report.report import Report
from lorb_adapters.training.run_folder import RunFolder


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The result of a run, ready to be published.

    Attributes:
        report: report of the run.
        publication: the content of the version to publish; None if the method makes no adapter.
        method: the trained method, with the parameters that did best on dev.
        trained: the same parameters, with the scores that they give on dev.
        folder: folder of the run, still locked; None if the run has no folder.
    """

    report: Report
    publication: Publication | None
    method: Method
    trained: TrainedModel
    folder: RunFolder | None = None

    @property
    def was_resumed(self) -> bool:
        """Whether the run was interrupted and resumed."""
        return self.folder is not None and self.folder.num_resumes > 0


def publish(
    result: TrainingResult, store: Store, *, force: bool, promote: bool, signing_key: SigningKey | None = None
) -> str:
    """Publishes the adapter, signed if a signing key is given; returns the id of the published version.

    force: whether to publish even if dev did not improve. promote: whether to point the alias `stable` at the version.
    If an earlier process of this run was killed after it had published, nothing is published again: its version in the
    store is signed and promoted as requested, and its id is returned.

    Raises NotPublished if cross-fitted dev did not improve and `force` is not set, and InvalidInput if the method makes
    no adapter.
    """
    if result.publication is None:
        raise InvalidInput(unpublishable_reason(result.method.name), field="method")
    if not force:
        check_improves(result.report)
    version = _published_before(result.publication, store, result.folder) if result.folder is not None else None
    if version is None:
        return store.publish(result.publication, set_stable=promote, signing_key=signing_key)
    if signing_key is not None:
        store.sign(result.publication.domain, version, signing_key)
    store.complete_publication(result.publication.domain, version, set_stable=promote)
    return version


def unpublishable_reason(method: str) -> str:
    """Returns why the result of a method cannot be published, and what to do instead."""
    if method == "full":
        return "method full makes a base, not an adapter: --output-base DIR writes it, --dry-run only measures it"
    return f"method {method} makes nothing that the server can load: --dry-run trains, measures and reports it"


def saved_size_bytes(trained: TrainedModel) -> int:
    """Returns the size of an adapter's two weight files.

    For a method that makes no adapter, returns the size of one safetensors file with the trained tensors.
    """
    if trained.weights is None:
        return len(save(dict(trained.tensors)))
    return len(save(adapter_state_dict(trained.weights))) + len(save(head_state_dict(trained.weights)))


def make_publication(
    report: Report,
    config: TrainConfig,
    weights: AdapterWeights,
    data: Dataset,
    golden_lists: tuple[GoldenList, ...],
) -> Publication:
    """Collects the content of the version to publish.

    A report that is too large for the store is published without the word errors of each list.
    """
    report_json = report.to_json()
    if len(report_json.encode()) > MAX_BYTES[REPORT_JSON]:
        report = report.without_list_errors()
        report_json = report.to_json()
    dev = report.sets["dev"]
    return Publication(
        domain=report.domain,
        weights=weights,
        base_name=report.base.name,
        base_fingerprint=report.base.fingerprint,
        ranking=report.ranking,
        normalization=config.normalization,
        uses_context=config.uses_context,
        first_pass_statistics=first_pass_statistics(data.train),
        training_data=report.data_sha256,
        dev_metrics={
            "first_pass_wer": dev.first_pass_wer,
            "rescored_wer": dev.rescored_wer,
            "oracle_wer": dev.oracle_wer,
        },
        golden_lists=golden_lists,
        report_md=report_markdown(report),
        report_json=report_json,
    )


def _published_before(publication: Publication, store: Store, folder: RunFolder) -> str | None:
    """Returns the version that this run published before it was killed, if there is one.

    Versions older than the run's first attempt to publish are ignored: another run made them, and even with equal
    weights they may rank differently.
    """
    domain = publication.domain
    after = folder.last_number_before_publishing(f"{domain} in {store.url}", store.last_version_number(domain))
    if domain not in store.domains():
        return None
    suffix = f"-{weights_digest(publication.weights)[:12]}"
    own = (each for each in store.versions(domain) if version_number(each) > after and each.endswith(suffix))
    return next(own, None)

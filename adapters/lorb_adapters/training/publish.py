"""A run's end: what it made, whether it helps, and how it is published."""

from collections.abc import Sequence
from dataclasses import dataclass

from safetensors.torch import save

from lorb.errors import InvalidInput, NotPublished
from lorb.names import STABLE
from lorb_adapters.lora.weights import AdapterWeights, adapter_state_dict
from lorb_adapters.store.adapter import Publication, head_state_dict, weights_digest
from lorb_adapters.store.layout import version_number
from lorb_adapters.store.manifest import GoldenList
from lorb_adapters.store.signing import SigningKey
from lorb_adapters.store.store import Store
from lorb_adapters.training.data.encoded_lists import ReferencedList
from lorb_adapters.training.data.reading import Data, first_pass_statistics
from lorb_adapters.training.evaluation.evaluation import PUBLISHING_PROBABILITY
from lorb_adapters.training.loop import Trained
from lorb_adapters.training.methods import Method
from lorb_adapters.training.report.report import RunReport
from lorb_adapters.training.run_folder import RunFolder

_NUM_GOLDEN_LISTS = 4


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """A run's end: the report, and all that the store needs to publish it.

    Attributes:
        publication: None where the method makes no adapter.
        method: holds what was best on dev.
        trained: the same with dev's scores.
        folder: where the run was kept; None where it was not.
    """

    report: RunReport
    publication: Publication | None
    method: Method
    trained: Trained
    folder: RunFolder | None = None

    @property
    def was_resumed(self) -> bool:
        """Whether the run was stopped on its way."""
        return self.folder is not None and self.folder.num_resumes > 0

    def check_helps(self) -> None:
        """Raises NotPublished where dev is not better with enough certainty."""
        dev = self.report.sets["dev"]
        probability = dev.bootstrap().probability_of_improvement
        if probability < PUBLISHING_PROBABILITY:
            raise NotPublished(
                f"not published: on dev the WER went from {dev.percent(dev.first_pass):.2f} to "
                f"{dev.percent(dev.rescored):.2f}, better in {100 * probability:.1f}% of paired resamples, "
                f"{100 * PUBLISHING_PROBABILITY:.0f}% are asked for; more lists or epochs may help, "
                "--force publishes all the same"
            )


def publish(
    finished: TrainingResult, store: Store, *, force: bool, promote: bool, signing_key: SigningKey | None = None
) -> str:
    """Publishes what helps, signed with `signing_key`, and returns its full version id; raises NotPublished otherwise.

    A run that was stopped between publishing and taking note of it finds its own version there, signs and returns it.
    """
    if finished.publication is None:
        raise InvalidInput(unpublishable(finished.method.name), field="method")
    if not force:
        finished.check_helps()
    version = _published_before(finished.publication, store, finished.folder) if finished.folder is not None else None
    if version is None:
        return store.publish(finished.publication, set_stable=promote, signing_key=signing_key)
    if signing_key is not None:
        store.sign(finished.publication.domain, version, signing_key)
    if promote:
        store.set_alias(finished.publication.domain, STABLE, version)
    return version


def _published_before(publication: Publication, store: Store, folder: RunFolder) -> str | None:
    """The run's own version, if it was stopped behind publishing it.

    Older ones may have the same weights and another ranking: they are another run's.
    """
    domain = publication.domain
    after = folder.publishing_after(f"{domain} in {store.url}", store.last_number(domain))
    if domain not in store.domains():
        return None
    ending = f"-{weights_digest(publication.weights)[:12]}"
    own = (each for each in store.versions(domain) if version_number(each) > after and each.endswith(ending))
    return next(own, None)


def unpublishable(method: str) -> str:
    """Why a method's result cannot be published, and what to do."""
    if method == "full":
        return "method full makes a base, not an adapter: --output-base DIR writes it, --dry-run only measures it"
    return f"method {method} makes nothing that the server can load: --dry-run trains, measures and reports it"


def choose_golden_lists(method: Method, trained: Trained, dev: Sequence[ReferencedList]) -> tuple[GoldenList, ...]:
    """A few dev lists with the scores they must get: enough to tell a wrong load."""
    chosen = short_lists_with_contrast(dev)
    return tuple(
        GoldenList(each.nbest, tuple(scores))
        for each, scores in zip(chosen, method.scores(trained.tensors, chosen), strict=True)
    )


def short_lists_with_contrast(dev: Sequence[ReferencedList]) -> list[ReferencedList]:
    """Lists whose texts differ in errors, evenly spaced by tokens among the shorter half; four, or what there are.

    A server scores them on its model's thread at every load, between requests that wait: none is long. They differ in
    length, because a pass of another length takes other ways through the model.
    """
    by_length = sorted((each for each in dev if len(set(each.errors)) > 1), key=lambda each: each.num_tokens)
    shorter = by_length[: max(_NUM_GOLDEN_LISTS, len(by_length) // 2)]
    count = min(_NUM_GOLDEN_LISTS, len(shorter))
    return [shorter[i * len(shorter) // count] for i in range(count)]


def size_bytes(trained: Trained) -> int:
    """Of an adapter's two files of weights; of what other methods train, as one such file."""
    if trained.weights is None:
        return len(save(dict(trained.tensors)))
    return len(save(adapter_state_dict(trained.weights))) + len(save(head_state_dict(trained.weights)))


def make_publication(
    report: RunReport, weights: AdapterWeights, data: Data, golden: tuple[GoldenList, ...]
) -> Publication:
    """All that the store needs of a run that made an adapter."""
    dev = report.sets["dev"]
    return Publication(
        domain=report.domain,
        weights=weights,
        base_name=report.base_name,
        base_fingerprint=report.base_fingerprint,
        ranking=report.ranking,
        normalization=report.config.normalization,
        uses_context=report.config.uses_context,
        first_pass_statistics=first_pass_statistics(data.train),
        training_data=report.data_sha256,
        dev_metrics={
            "first_pass_wer": dev.percent(dev.first_pass),
            "rescored_wer": dev.percent(dev.rescored),
            "oracle_wer": dev.percent(dev.oracle),
        },
        golden_lists=golden,
        report_md=report.to_markdown(),
        report_json=report.to_json(),
    )

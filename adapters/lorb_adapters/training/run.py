"""One run of the trainer, start to end: read, train, tune, report, publish."""

from collections.abc import Sequence
from dataclasses import dataclass

from lorb.errors import InvalidInput, NotPublished
from lorb_adapters.adapter import Publication
from lorb_adapters.base import Base
from lorb_adapters.lora import AdapterWeights
from lorb_adapters.manifest import GoldenList
from lorb_adapters.memory import peak_memory_bytes
from lorb_adapters.model import RescoringModel
from lorb_adapters.ranking import Ranking
from lorb_adapters.store import Store
from lorb_adapters.training.config import TrainConfig
from lorb_adapters.training.data import Data, DataFiles, first_pass_statistics, read_data, unseen_references
from lorb_adapters.training.evaluation import PUBLISHING_PROBABILITY, Evaluation, evaluate
from lorb_adapters.training.lists import ReferencedList, fit_rank_prior, score_lists
from lorb_adapters.training.progress import TrainingProgress
from lorb_adapters.training.report import RunReport
from lorb_adapters.training.train import Trained, train
from lorb_adapters.training.tuning import tune_ranking

_NUM_GOLDEN_LISTS = 4


@dataclass(frozen=True, slots=True)
class Finished:
    """A run's end: the report, and all that the store needs to publish it."""

    report: RunReport
    publication: Publication

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


def run(
    domain: str,
    base: Base,
    files: DataFiles,
    config: TrainConfig,
    progress: TrainingProgress,
    *,
    command: str = "",
    golden_lists: bool = True,
) -> Finished:
    """Trains an adapter and measures it. Publishes nothing."""
    data = read_data(files, base.text_encoder, config)
    for notice in data.notices:
        progress.say(notice)
    trainable = _trainable_lists(data)
    counts = _list_counts(data, trainable)
    progress.say("  ".join(f"{count:,} {name}" for name, count in counts.items()))
    prior = fit_rank_prior(data.train)
    model = RescoringModel(base)
    with progress:
        trained = train(model, config, trainable, data.dev, prior, progress)
        seconds = progress.seconds
    ranking = tune_ranking(data.dev, trained.dev_scores, prior)
    report = RunReport(
        command=command,
        domain=domain,
        base_name=base.name,
        base_fingerprint=base.fingerprint,
        config=config,
        data_sha256=files.sha256(),
        list_counts=counts,
        num_trained_parameters=trained.weights.num_parameters,
        num_base_parameters=sum(p.numel() for p in base.encoder.parameters()),
        num_steps=trained.num_steps,
        train_seconds=seconds,
        num_tokens=progress.num_tokens,
        peak_memory_bytes=peak_memory_bytes(),
        ranking=ranking,
        sets=_evaluations(model, trained, data, ranking),
        steps=tuple(progress.steps),
        looks_at_dev=tuple(progress.looks_at_dev),
    )
    golden = _golden_lists(model, trained.weights, data.dev) if golden_lists else ()
    return Finished(report, _publication(report, trained.weights, data, golden))


def publish(finished: Finished, store: Store, *, force: bool, promote: bool) -> str:
    """Publishes what helps and returns its full version id; raises NotPublished for what does not."""
    if not force:
        finished.check_helps()
    return store.publish(finished.publication, set_stable=promote)


def _trainable_lists(data: Data) -> list[ReferencedList]:
    trainable = [each for each in data.train if each.has_contrast]
    if not trainable:
        raise InvalidInput(
            "no train list has hypotheses that differ in word errors: there is nothing to learn from",
            field="train",
        )
    return trainable


def _list_counts(data: Data, trainable: Sequence[ReferencedList]) -> dict[str, int]:
    copies = sum(len(each.nbest.hypotheses) - len(each.distinct) for each in data.train)
    return {
        "train": len(data.train),
        "dropped from train, held out elsewhere": data.num_overlapping,
        "without contrast": len(data.train) - len(trainable),
        "trained on": len(trainable),
        "copies merged": copies,
        "dev": len(data.dev),
        "test": len(data.test),
        "other domain": len(data.ood),
    }


def _evaluations(model: RescoringModel, trained: Trained, data: Data, ranking: Ranking) -> dict[str, Evaluation]:
    def measured(lists: Sequence[ReferencedList], scores: Sequence[Sequence[float]]) -> Evaluation:
        has_scores = lists[0].nbest.has_scores
        weight = ranking.weight if has_scores else ranking.rank_prior.weight
        return evaluate(lists, scores, ranking.rank_prior, weight)

    sets = {"dev": measured(data.dev, trained.dev_scores)}
    for name, lists in (("test", data.test), ("other domain", data.ood)):
        if lists:
            scores = list(score_lists(model, trained.weights, lists))
            sets[name] = measured(lists, scores)
            unseen = unseen_references(lists, data.train)
            if name == "test" and 0 < len(unseen) < len(lists):
                sets["test, references not in train"] = measured(
                    [lists[i] for i in unseen], [scores[i] for i in unseen]
                )
    return sets


def _golden_lists(
    model: RescoringModel, weights: AdapterWeights, dev: Sequence[ReferencedList]
) -> tuple[GoldenList, ...]:
    """The shortest few dev lists with contrast: enough to tell a wrong load, and quick to reproduce."""
    chosen = sorted(
        (each for each in dev if len(each.rows) > 1),
        key=lambda each: sum(row.num_tokens for row in each.rows),
    )[-_NUM_GOLDEN_LISTS * 8 :: 8]
    return tuple(
        GoldenList(each.nbest, tuple(scores))
        for each, scores in zip(chosen, score_lists(model, weights, chosen), strict=True)
    )


def _publication(report: RunReport, weights: AdapterWeights, data: Data, golden: tuple[GoldenList, ...]) -> Publication:
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

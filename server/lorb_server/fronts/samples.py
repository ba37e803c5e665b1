"""Collects, encodes, decodes and adds up samples of metrics: the values of one process's counters and histograms."""

from collections import Counter
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from lorb_server.fronts.messages import decode, encode

Labels = tuple[tuple[str, str], ...]
SampleKey = tuple[str, str, Labels]  # family, sample name, labels in the order of their names
Samples = Mapping[SampleKey, float]

_SUMMED_TYPES = ("counter", "histogram", "summary")  # the gauges of fronts are ignored
_PROCESS_PREFIX = "process_"  # only the engine process reports metrics with this prefix
_CREATED_SUFFIX = "_created"


def samples_of(registry: CollectorRegistry) -> dict[SampleKey, float]:
    """The samples of `registry` that can be added to other processes' samples."""
    return {
        (family.name, sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in registry.collect()
        if family.type in _SUMMED_TYPES and not family.name.startswith(_PROCESS_PREFIX)
        for sample in family.samples
        if not sample.name.endswith(_CREATED_SUFFIX)
    }


def encode_samples(samples: Samples) -> bytes:
    """Samples as bytes."""
    return encode([*samples.items()])


def decode_samples(body: bytes) -> dict[SampleKey, float]:
    """Samples from bytes. Raises ProtocolError if the bytes are not encoded samples."""
    return dict(decode(body, list[tuple[SampleKey, float]]))


def total(parts: Iterable[Samples]) -> Counter[SampleKey]:
    """The sum of several processes' samples."""
    sums: Counter[SampleKey] = Counter()
    for samples in parts:
        for key, value in samples.items():
            sums[key] += value  # type: ignore[assignment]  # a Counter of floats
    return sums


def with_samples(families: Iterable[Metric], samples: Samples) -> Iterable[Metric]:
    """The metric families with `samples` added. Samples of families that are not in `families` are ignored."""
    by_family: dict[str, dict[tuple[str, Labels], float]] = {}
    for (family_name, name, labels), value in samples.items():
        by_family.setdefault(family_name, {})[name, labels] = value
    for family in families:
        yield _with(family, by_family.get(family.name, {}))


def _with(family: Metric, added: Mapping[tuple[str, Labels], float]) -> Metric:
    summed = Metric(family.name, family.documentation, family.type, family.unit)
    left = dict(added)
    for sample in family.samples:
        more = left.pop((sample.name, tuple(sorted(sample.labels.items()))), 0.0)
        summed.add_sample(sample.name, sample.labels, sample.value + more, sample.timestamp, sample.exemplar)
    for (name, labels), value in left.items():
        summed.add_sample(name, dict(labels), value)
    return summed

"""What a process has counted, as numbers that can be sent and added up."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from lorb_server.fronts.frames import ProtocolError

Labels = tuple[tuple[str, str], ...]
SampleKey = tuple[str, str, Labels]  # family, sample name, labels by name
Samples = Mapping[SampleKey, float]

_ADDED_UP = ("counter", "histogram", "summary")  # a gauge of a front is of no use to anyone
_OF_THE_PROCESS = "process_"  # the engine process shows its own
_TIME_OF_BIRTH = "_created"


def samples_of(registry: CollectorRegistry) -> dict[SampleKey, float]:
    """All that can be added up with other processes'."""
    return {
        (family.name, sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in registry.collect()
        if family.type in _ADDED_UP and not family.name.startswith(_OF_THE_PROCESS)
        for sample in family.samples
        if not sample.name.endswith(_TIME_OF_BIRTH)
    }


def encode_samples(samples: Samples) -> bytes:
    """As JSON."""
    return json.dumps([[*key, value] for key, value in samples.items()]).encode()


def decode_samples(body: bytes) -> dict[SampleKey, float]:
    """What `encode_samples` made; raises ProtocolError where it did not make that."""
    try:
        return {
            (str(family), str(name), tuple((str(key), str(label)) for key, label in labels)): float(value)
            for family, name, labels, value in json.loads(body)
        }
    except (ValueError, TypeError):
        raise ProtocolError("samples are none that this process understands") from None


def total(parts: Iterable[Samples]) -> Counter[SampleKey]:
    """The sum of several processes' samples."""
    sums: Counter[SampleKey] = Counter()
    for samples in parts:
        for key, value in samples.items():
            sums[key] += value  # type: ignore[assignment]  # a Counter of floats
    return sums


def with_samples(families: Iterable[Metric], samples: Samples) -> Iterable[Metric]:
    """The families with these samples added to their own. Samples of a family that is not there are left out."""
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

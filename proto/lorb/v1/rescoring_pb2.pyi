from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FallbackPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FALLBACK_POLICY_UNSPECIFIED: _ClassVar[FallbackPolicy]
    FALLBACK_POLICY_DEGRADE: _ClassVar[FallbackPolicy]
    FALLBACK_POLICY_FAIL: _ClassVar[FallbackPolicy]

class Selection(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SELECTION_UNSPECIFIED: _ClassVar[Selection]
    SELECTION_MAP: _ClassVar[Selection]
    SELECTION_MBR: _ClassVar[Selection]

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_RESCORED: _ClassVar[Outcome]
    OUTCOME_PARTIAL: _ClassVar[Outcome]
    OUTCOME_FIRST_PASS: _ClassVar[Outcome]

class FallbackReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FALLBACK_REASON_UNSPECIFIED: _ClassVar[FallbackReason]
    FALLBACK_REASON_QUEUE_FULL: _ClassVar[FallbackReason]
    FALLBACK_REASON_DEADLINE: _ClassVar[FallbackReason]
    FALLBACK_REASON_INVALID_SCORE: _ClassVar[FallbackReason]
FALLBACK_POLICY_UNSPECIFIED: FallbackPolicy
FALLBACK_POLICY_DEGRADE: FallbackPolicy
FALLBACK_POLICY_FAIL: FallbackPolicy
SELECTION_UNSPECIFIED: Selection
SELECTION_MAP: Selection
SELECTION_MBR: Selection
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_RESCORED: Outcome
OUTCOME_PARTIAL: Outcome
OUTCOME_FIRST_PASS: Outcome
FALLBACK_REASON_UNSPECIFIED: FallbackReason
FALLBACK_REASON_QUEUE_FULL: FallbackReason
FALLBACK_REASON_DEADLINE: FallbackReason
FALLBACK_REASON_INVALID_SCORE: FallbackReason

class Hypothesis(_message.Message):
    __slots__ = ("transcript", "first_pass_score", "component_scores")
    class ComponentScoresEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    TRANSCRIPT_FIELD_NUMBER: _ClassVar[int]
    FIRST_PASS_SCORE_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_SCORES_FIELD_NUMBER: _ClassVar[int]
    transcript: str
    first_pass_score: float
    component_scores: _containers.ScalarMap[str, float]
    def __init__(self, transcript: _Optional[str] = ..., first_pass_score: _Optional[float] = ..., component_scores: _Optional[_Mapping[str, float]] = ...) -> None: ...

class RescoreRequest(_message.Message):
    __slots__ = ("request_id", "domain", "hypotheses", "rescoring_weight", "fallback_policy", "top_n", "context", "selection", "routing_key")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    HYPOTHESES_FIELD_NUMBER: _ClassVar[int]
    RESCORING_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_POLICY_FIELD_NUMBER: _ClassVar[int]
    TOP_N_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    ROUTING_KEY_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    domain: str
    hypotheses: _containers.RepeatedCompositeFieldContainer[Hypothesis]
    rescoring_weight: float
    fallback_policy: FallbackPolicy
    top_n: int
    context: str
    selection: Selection
    routing_key: str
    def __init__(self, request_id: _Optional[str] = ..., domain: _Optional[str] = ..., hypotheses: _Optional[_Iterable[_Union[Hypothesis, _Mapping]]] = ..., rescoring_weight: _Optional[float] = ..., fallback_policy: _Optional[_Union[FallbackPolicy, str]] = ..., top_n: _Optional[int] = ..., context: _Optional[str] = ..., selection: _Optional[_Union[Selection, str]] = ..., routing_key: _Optional[str] = ...) -> None: ...

class RescoredHypothesis(_message.Message):
    __slots__ = ("index", "transcript", "combined_score", "rescoring_score", "posterior", "truncated", "component_scores")
    class ComponentScoresEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TRANSCRIPT_FIELD_NUMBER: _ClassVar[int]
    COMBINED_SCORE_FIELD_NUMBER: _ClassVar[int]
    RESCORING_SCORE_FIELD_NUMBER: _ClassVar[int]
    POSTERIOR_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    COMPONENT_SCORES_FIELD_NUMBER: _ClassVar[int]
    index: int
    transcript: str
    combined_score: float
    rescoring_score: float
    posterior: float
    truncated: bool
    component_scores: _containers.ScalarMap[str, float]
    def __init__(self, index: _Optional[int] = ..., transcript: _Optional[str] = ..., combined_score: _Optional[float] = ..., rescoring_score: _Optional[float] = ..., posterior: _Optional[float] = ..., truncated: bool = ..., component_scores: _Optional[_Mapping[str, float]] = ...) -> None: ...

class AdapterRef(_message.Message):
    __slots__ = ("domain", "version", "digest")
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    domain: str
    version: str
    digest: str
    def __init__(self, domain: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ...) -> None: ...

class Timings(_message.Message):
    __slots__ = ("total_seconds", "tokenize_seconds", "queue_seconds", "infer_seconds")
    TOTAL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    TOKENIZE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    INFER_SECONDS_FIELD_NUMBER: _ClassVar[int]
    total_seconds: float
    tokenize_seconds: float
    queue_seconds: float
    infer_seconds: float
    def __init__(self, total_seconds: _Optional[float] = ..., tokenize_seconds: _Optional[float] = ..., queue_seconds: _Optional[float] = ..., infer_seconds: _Optional[float] = ...) -> None: ...

class RescoreResponse(_message.Message):
    __slots__ = ("request_id", "hypotheses", "outcome", "fallback_reason", "adapter", "timings")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    HYPOTHESES_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_REASON_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    hypotheses: _containers.RepeatedCompositeFieldContainer[RescoredHypothesis]
    outcome: Outcome
    fallback_reason: FallbackReason
    adapter: AdapterRef
    timings: Timings
    def __init__(self, request_id: _Optional[str] = ..., hypotheses: _Optional[_Iterable[_Union[RescoredHypothesis, _Mapping]]] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., fallback_reason: _Optional[_Union[FallbackReason, str]] = ..., adapter: _Optional[_Union[AdapterRef, _Mapping]] = ..., timings: _Optional[_Union[Timings, _Mapping]] = ...) -> None: ...

class BatchRescoreRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[RescoreRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[RescoreRequest, _Mapping]]] = ...) -> None: ...

class BatchRescoreResult(_message.Message):
    __slots__ = ("response", "error")
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    response: RescoreResponse
    error: _status_pb2.Status
    def __init__(self, response: _Optional[_Union[RescoreResponse, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class BatchRescoreResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchRescoreResult]
    def __init__(self, results: _Optional[_Iterable[_Union[BatchRescoreResult, _Mapping]]] = ...) -> None: ...

class GetServerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetServerInfoResponse(_message.Message):
    __slots__ = ("server_version", "base_name", "base_fingerprint", "device", "dtype", "domains", "default_domain", "max_hypotheses", "max_transcript_chars", "max_batch_lists")
    SERVER_VERSION_FIELD_NUMBER: _ClassVar[int]
    BASE_NAME_FIELD_NUMBER: _ClassVar[int]
    BASE_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    DOMAINS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_DOMAIN_FIELD_NUMBER: _ClassVar[int]
    MAX_HYPOTHESES_FIELD_NUMBER: _ClassVar[int]
    MAX_TRANSCRIPT_CHARS_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_LISTS_FIELD_NUMBER: _ClassVar[int]
    server_version: str
    base_name: str
    base_fingerprint: str
    device: str
    dtype: str
    domains: _containers.RepeatedScalarFieldContainer[str]
    default_domain: str
    max_hypotheses: int
    max_transcript_chars: int
    max_batch_lists: int
    def __init__(self, server_version: _Optional[str] = ..., base_name: _Optional[str] = ..., base_fingerprint: _Optional[str] = ..., device: _Optional[str] = ..., dtype: _Optional[str] = ..., domains: _Optional[_Iterable[str]] = ..., default_domain: _Optional[str] = ..., max_hypotheses: _Optional[int] = ..., max_transcript_chars: _Optional[int] = ..., max_batch_lists: _Optional[int] = ...) -> None: ...

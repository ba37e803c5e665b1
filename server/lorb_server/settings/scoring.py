"""The settings of the model, its batches, its queue and the calls' deadlines."""

from dataclasses import dataclass

from lorb_server.setting import setting


@dataclass(frozen=True, kw_only=True)
class ScoringSettings:
    """How the model runs, and how long lists may wait for it."""

    device: str = setting(
        "auto", "Device of the model; auto takes CUDA if there is a CUDA device.", choices=("auto", "cpu", "cuda")
    )
    dtype: str = setting(
        "auto",
        "Number format of the encoder. auto: bfloat16 on CUDA and on CPUs with AMX or AVX-512 BF16, else float32.",
        choices=("auto", "float32", "bfloat16"),
    )
    cuda_graphs: str = setting(
        "auto",
        "Record small batches as CUDA graphs at the start, so that a small batch takes one launch instead of hundreds. "
        "Recording takes some seconds and some memory; the log reports both. auto: on if the encoder computes in "
        "bfloat16 on CUDA.",
        choices=("auto", "off"),
    )
    threads: int | None = setting(
        None,
        "CPU threads that compute, in all workers together. Default: the cores that this process may use, by its "
        "affinity and the CPU quota of its container.",
        minimum=1,
    )
    workers: int | None = setting(
        None,
        "Workers, which score batches at the same time; on CUDA there is one. Default: --threads divided by "
        "--threads-per-worker.",
        minimum=1,
    )
    threads_per_worker: int | None = setting(
        None,
        "CPU threads of one worker. Default: the server measures at the start which split of --threads scores most on "
        "this machine and logs it; usually 1. A large base may be faster with more, but threads that wait for one "
        "another suffer from every other busy process on their cores.",
        minimum=1,
    )
    tokenizer_threads: int = setting(2, "Threads that tokenise texts.", minimum=1)

    max_batch_tokens: int | None = setting(
        None,
        "Most tokens in one batch of the model. A larger value gives higher throughput and longer waits. "
        "Default: 8192 on CUDA, 1024 on the CPU, but at most --max-queue-tokens.",
        minimum=1,
    )
    max_pass_seconds: float = setting(
        0.25,
        "Longest predicted duration of a batch of several lists. A larger value gives higher throughput under load, "
        "and longer waits for lists that arrive during the batch.",
        minimum=0.001,
    )
    max_queue_seconds: float = setting(
        5.0,
        "Longest predicted wait of a Rescore list, even if its deadline allows more. If the wait would be longer, the "
        "queue counts as full.",
        minimum=0.001,
    )
    score_cache_bytes: int = setting(
        64 * 1024 * 1024, "Memory for the cache that keeps scores of earlier texts; 0 turns the cache off.", minimum=0
    )
    shared_score_cache: bool = setting(
        False,
        "Let all callers share the scores in the cache. Otherwise a caller with a token or a certificate finds only "
        "scores of its own texts, so that no answer's time tells which texts another caller has sent.",
    )
    max_queue_tokens: int = setting(
        32768,
        "Most tokens of Rescore lists that may wait for the model. When the queue is full, calls get the first-pass "
        "order at once, or RESOURCE_EXHAUSTED under the FAIL policy.",
        minimum=1,
    )
    max_bulk_queue_tokens: int = setting(
        1048576,
        "Most tokens of BatchRescore lists that may wait; they yield to Rescore. A token takes about 70 bytes.",
        minimum=1,
    )
    default_deadline_seconds: float = setting(1.0, "Deadline of a Rescore call that sets no deadline.", minimum=0.001)
    default_bulk_deadline_seconds: float = setting(
        60.0, "Deadline of a BatchRescore call that sets no deadline.", minimum=0.001
    )
    deadline_margin_seconds: float = setting(
        0.01,
        "Time before the deadline at which a call is answered, rescored or not, so that the answer arrives in time.",
        minimum=0,
    )

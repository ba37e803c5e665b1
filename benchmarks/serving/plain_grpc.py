"""A simple gRPC server that calls transformers and peft for each request.

It serves LoRB's Rescore method, so that the same client calls both, with a thread pool, a padded batch for each request
and a lock around the model. It has no first-pass scores, deadlines or queue.
"""

import argparse
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import torch

from lorb.v1 import rescoring_pb2 as pb
from lorb.v1 import rescoring_pb2_grpc
from models import DTYPES, MODELS, prepared
from peers.peft_model import ScoringPeftModel
from workload import NUM_DOMAINS, domain_name

MAX_WORKERS = 10  # of the thread pool in gRPC's own examples
DOMAINS = {domain_name(number): number for number in range(NUM_DOMAINS)}


class PlainService(rescoring_pb2_grpc.RescoringServiceServicer):
    """Scores the hypotheses of a request and sorts them."""

    def __init__(self, model: ScoringPeftModel) -> None:
        self._model = model
        self._lock = threading.Lock()  # on two cores, one request at a time is fastest

    def Rescore(self, request: pb.RescoreRequest, context: grpc.ServicerContext) -> pb.RescoreResponse:  # noqa: N802
        """Scores a list as a padded batch."""
        texts = [hypothesis.transcript for hypothesis in request.hypotheses]
        with self._lock:
            scores = self._model.score_list(texts, DOMAINS[request.domain])
        order = sorted(range(len(texts)), key=lambda i: -scores[i])
        ranked = [pb.RescoredHypothesis(index=i, transcript=texts[i], rescoring_score=scores[i]) for i in order]
        return pb.RescoreResponse(request_id=request.request_id, hypotheses=ranked, outcome=pb.OUTCOME_RESCORED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, required=True)
    parser.add_argument("--dtype", choices=DTYPES, required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    model = ScoringPeftModel(prepared(arguments.model), DTYPES[arguments.dtype], NUM_DOMAINS)
    server = grpc.server(ThreadPoolExecutor(MAX_WORKERS))
    rescoring_pb2_grpc.add_RescoringServiceServicer_to_server(PlainService(model), server)
    server.add_insecure_port(f"127.0.0.1:{arguments.port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()

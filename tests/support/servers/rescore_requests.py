"""Rescore requests, and the details of the statuses that they end with."""

from google.rpc.status_pb2 import Status

from lorb.v1 import rescoring_pb2 as pb


def request(*transcripts, **fields):
    """A request for the domain `voice` with falling first-pass scores."""
    hypotheses = [pb.Hypothesis(transcript=text, first_pass_score=-float(i)) for i, text in enumerate(transcripts)]
    return pb.RescoreRequest(**{"domain": "voice", "hypotheses": hypotheses, **fields})


def detail(status: Status, kind):
    """The detail of this message type; None if the status has none."""
    for packed in status.details:
        if packed.Is(kind.DESCRIPTOR):
            message = kind()
            packed.Unpack(message)
            return message
    return None

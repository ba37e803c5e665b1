"""Encodes routes and adapter handles as JSON for the fronts; weights stay in the engine process."""

import json
from collections.abc import Callable
from typing import Any

from lorb.errors import LorbError
from lorb.ranked import AdapterRef
from lorb_adapters.ranking import Ranking
from lorb_adapters.text import TextNormalization
from lorb_server.adapter import AdapterHandle, Route
from lorb_server.fronts.frames import ProtocolError


def encode_route(route: Route, number: Callable[[AdapterHandle], int], *, state: int, is_fixed: bool) -> bytes:
    """A route and its adapters, as JSON.

    `number` returns the number by which the front may name an adapter.
    `state` is the number of the engine's state when the route was chosen. `is_fixed` says whether the route is the same
    for every routing key in this state.
    """
    parts = {"adapter": route.adapter, "stable": route.stable, "shadow": route.shadow}
    adapters = {part: _adapter_json(one, number(one)) for part, one in parts.items() if one is not None}
    return json.dumps({"state": state, "is_fixed": is_fixed, "alias": route.alias, **adapters}).encode()


def decode_route(body: bytes, known: Callable[[int, AdapterHandle], AdapterHandle]) -> tuple[Route, int, bool]:
    """Returns (route, state, is_fixed): the arguments of `encode_route`.

    `known` takes an adapter's number and its decoded handle, and returns the handle to use instead. Raises
    ProtocolError if the bytes are not an encoded route.
    """
    try:
        content = json.loads(body)
        adapters = {part: _adapter(content[part], known) for part in ("adapter", "stable", "shadow") if part in content}
        return Route(**adapters, alias=str(content["alias"])), int(content["state"]), bool(content["is_fixed"])
    except (ValueError, TypeError, KeyError, AttributeError, LorbError):
        raise ProtocolError("a route is not decodable") from None


def _adapter_json(adapter: AdapterHandle, number: int) -> dict[str, Any]:
    return {
        "number": number,
        "ref": [adapter.ref.domain, adapter.ref.version, adapter.ref.digest],
        "ranking": adapter.ranking.to_json(),
        "normalization": adapter.normalization.to_json(),
        "uses_context": adapter.uses_context,
        "training_score_mean": adapter.training_score_mean,
        "training_score_deviation": adapter.training_score_deviation,
        "size_bytes": adapter.size_bytes,
    }


def _adapter(content: dict[str, Any], known: Callable[[int, AdapterHandle], AdapterHandle]) -> AdapterHandle:
    adapter = AdapterHandle(
        ref=AdapterRef(*content["ref"]),
        ranking=Ranking.from_json(content["ranking"]),
        normalization=TextNormalization.from_json(content["normalization"]),
        uses_context=content["uses_context"],
        training_score_mean=content["training_score_mean"],
        training_score_deviation=content["training_score_deviation"],
        size_bytes=content["size_bytes"],
    )
    return known(content["number"], adapter)

"""The admin service: lists adapter versions, refreshes the registry, sets aliases, rolls back, unloads."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Container, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial
from typing import Any, ParamSpec, TypeVar

from prometheus_client import Counter

from lorb.errors import InvalidInput, LorbError, UnknownVersion
from lorb.names import STABLE, DomainSelector, check_alias, check_name, check_version, is_version
from lorb.ranked import AdapterRef
from lorb.v1 import admin_pb2 as pb
from lorb.v1 import admin_pb2_grpc
from lorb_adapters.store.manifest import Manifest
from lorb_adapters.store.store import Store
from lorb_server.registry.registry import Registry
from lorb_server.registry.snapshot import VersionKey, key_order
from lorb_server.rpc.adapter_infos import AdapterInfos
from lorb_server.rpc.callers import caller_name
from lorb_server.rpc.errors import Context, map_errors

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_log = logging.getLogger(__name__)


class AdapterAdminService(admin_pb2_grpc.AdapterAdminServiceServicer):
    """Implements lorb.v1.AdapterAdminService. Belongs to the event loop, but uses the store on other threads."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        on_device: Container[AdapterRef],
        internal_errors: Counter,
        *,
        threads: Executor,
        wait_for_fronts: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`on_device` contains the ref of each adapter whose weights are on the device. `threads` use the store.

        `wait_for_fronts` returns when every front process routes by the registry's current state, or after a timeout;
        it is None if the server has no fronts. Calls that change the registry wait for it before they answer.
        """
        self.internal_errors = internal_errors
        self._store = store
        self._registry = registry
        self._infos = AdapterInfos(store, registry.domains, on_device, threads)
        self._threads = threads
        self._wait_for_fronts = wait_for_fronts

    @map_errors
    async def ListAdapters(  # noqa: N802
        self,
        request: pb.ListAdaptersRequest,
        context: Context,
    ) -> pb.ListAdaptersResponse:
        """Lists versions with their states, page by page."""
        if request.domain:
            check_name(request.domain, "domain")
        page_size = _page_size(request.page_size)
        domains = self._registry.domains
        keys = _after(domains.known_versions(request.domain), request.page_token)
        page = keys[:page_size]
        return pb.ListAdaptersResponse(
            adapters=await self._infos.of(page),
            next_page_token="@".join(page[-1]) if len(keys) > page_size else "",
            generation=max(0, domains.generation),
        )

    @map_errors
    async def GetAdapter(  # noqa: N802
        self,
        request: pb.GetAdapterRequest,
        context: Context,
    ) -> pb.GetAdapterResponse:
        """Returns one version's state and its manifest, without the texts of the golden lists."""
        domain = check_name(request.domain, "domain")
        version = await self._use_store(self._store.resolve, _selector(domain, request.version))
        [info] = await self._infos.of([(domain, version)])
        [manifest] = await self._infos.manifests([(domain, version)])
        return pb.GetAdapterResponse(
            adapter=info, manifest_json=json.dumps(_without_texts(manifest)) if manifest else ""
        )

    @map_errors
    async def RefreshRegistry(  # noqa: N802
        self,
        request: pb.RefreshRegistryRequest,
        context: Context,
    ) -> pb.RefreshRegistryResponse:
        """Reads the whole store now, and verifies refused versions again."""
        with _audited(context, "RefreshRegistry"):
            refreshed = await self._registry.refresh(force=True)
        await self._applied()
        return pb.RefreshRegistryResponse(
            generation=refreshed.generation,
            loaded=await self._infos.of(refreshed.loaded),
            refused=await self._infos.of(refreshed.refused),
        )

    @map_errors
    async def SetAlias(  # noqa: N802
        self, request: pb.SetAliasRequest, context: Context
    ) -> pb.SetAliasResponse:
        """Verifies a version and points an alias at it. If the request has no version, removes the alias."""
        domain, alias = check_name(request.domain, "domain"), check_alias(request.alias)
        with (
            _audited(context, "SetAlias", domain=domain, alias=alias, version=request.version),
            self._registry.alias_log.made_by(_who(context), domain, alias, request.version),
        ):
            if request.version:
                await self._verify(domain, check_version(request.version))
                share = request.share or None
                change = await self._use_store(self._store.set_alias, domain, alias, request.version, share)
            else:
                change = await self._use_store(self._store.remove_alias, domain, alias)
            return pb.SetAliasResponse(previous_version=change.from_version, generation=await self._refreshed())

    @map_errors
    async def Rollback(  # noqa: N802
        self, request: pb.RollbackRequest, context: Context
    ) -> pb.RollbackResponse:
        """Points `stable` at the previous stable version.

        If an earlier rollback was killed, completes it, says so in the log and goes no further back.
        """
        domain = check_name(request.domain, "domain")
        with (
            _audited(context, "Rollback", domain=domain),
            self._registry.alias_log.made_by(_who(context), domain, STABLE) as requested,
        ):
            change = await self._use_store(self._store.rollback, domain)
            requested.version = change.to_version
            if change.is_unfinished:
                fields = {"caller": _who(context), "domain": domain, "version": change.to_version, "began": change.time}
                _log.warning("Rollback completed an earlier rollback that was killed", extra={"fields": fields})
            return pb.RollbackResponse(
                version=change.to_version,
                previous_version=change.from_version,
                generation=await self._refreshed(),
            )

    @map_errors
    async def UnloadAdapter(  # noqa: N802
        self, request: pb.UnloadAdapterRequest, context: Context
    ) -> pb.UnloadAdapterResponse:
        """Unloads a version from this server. Fails if an alias serves the version."""
        domain, version = check_name(request.domain, "domain"), check_version(request.version)
        with _audited(context, "UnloadAdapter", domain=domain, version=version):
            await self._registry.unload(domain, version)
        await self._applied()
        return pb.UnloadAdapterResponse()

    async def _verify(self, domain: str, version: str) -> None:
        if version not in await self._use_store(self._store.versions, domain):
            raise UnknownVersion(f"domain {domain!r} has no version {version}", field="version")
        await self._registry.verify(domain, version)

    async def _refreshed(self) -> int:
        """Tries to apply the store's change to this server, and logs an error. Returns the store's generation."""
        await self._registry.try_refresh()
        await self._applied()
        return await self._use_store(self._store.generation)

    async def _applied(self) -> None:
        """Waits until every process routes new calls by the registry's current state, or until a timeout."""
        if self._wait_for_fronts is not None:
            await self._wait_for_fronts()

    async def _use_store(
        self, function: Callable[Parameters, Result], *arguments: Parameters.args, **settings: Parameters.kwargs
    ) -> Result:
        """Calls `function` on a thread. Raises StoreUnavailable if the store does not answer in time."""
        call = partial(function, *arguments, **settings)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


def _page_size(requested: int) -> int:
    if requested < 0:
        raise InvalidInput(f"page_size is {requested}: send 0 for the default, or a positive number", field="page_size")
    return min(requested or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def _after(keys: list[VersionKey], page_token: str) -> list[VersionKey]:
    """The keys after `page_token`, the last key of the previous page. That key may have been removed since."""
    if not page_token:
        return keys
    domain, _, version = page_token.partition("@")
    if not is_version(version):
        raise InvalidInput("page_token is invalid: send an answer's next_page_token", field="page_token")
    last = key_order((domain, version))
    return [key for key in keys if key_order(key) > last]


def _selector(domain: str, version: str) -> DomainSelector:
    if is_version(version):
        return DomainSelector(domain, version=version)
    return DomainSelector(domain, alias=check_alias(version, "version") if version else None)


def _without_texts(manifest: Manifest) -> dict[str, Any]:
    """The manifest as JSON values. Each golden list keeps only its number of hypotheses and its scores."""
    content = manifest.to_json()
    content["golden_lists"] = [
        {"num_hypotheses": len(golden.nbest.hypotheses), "rescoring_scores": list(golden.rescoring_scores)}
        for golden in manifest.golden_lists
    ]
    return content


def _who(context: Context) -> str:
    """The operator's name, or the address of an operator without a name."""
    return caller_name(context) or context.peer()


@contextmanager
def _audited(context: Context, method: str, **fields: str) -> Iterator[None]:
    """Logs an admin call before its work begins, and again if it fails."""
    call = {"method": method, "caller": caller_name(context), "peer": context.peer(), **fields}
    _log.info("admin call", extra={"fields": call})
    try:
        yield
    except LorbError as error:
        _log.warning("admin call failed", extra={"fields": {**call, "reason": error.message}})
        raise

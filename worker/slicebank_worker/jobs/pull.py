"""Pulling an encoder's weights from the hub that the settings name, on behalf of an administrator."""

from __future__ import annotations

from functools import partial

from slicebank_models.cards import WeightsState
from slicebank_models.errors import HubUnreachable, ModelsError, PullUnderWay
from slicebank_models.hub.access import HubAccess
from slicebank_models.hub.planning import plan_pull
from slicebank_models.hub.pulling import pull
from slicebank_models.hub.references import PublishedReference, parse_reference
from slicebank_store.types import JSON
from slicebank_worker.errors import PullFailed
from slicebank_worker.jobs.patience import patiently
from slicebank_worker.leases import Hold
from slicebank_worker.runtime import Runtime

_MEGABYTE = 1_000_000


class Puller:
    """Runs pull jobs. Any thread may call it."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._access = HubAccess(runtime.settings.hub_endpoint, runtime.settings.offline)

    def run(self, hold: Hold) -> bool:
        """Runs one job: what is registered already counts as pulled, so that a job that was killed late ends well."""
        try:
            result = self._pulled(hold)
        except ModelsError as error:
            # The hub may be back soon, and another process done; all else stays as it is.
            again = isinstance(error, HubUnreachable | PullUnderWay)
            raise PullFailed(str(error), error.code, retryable=again) from error
        succeed = partial(self._runtime.catalogue.jobs.succeed, hold.lease, result)
        return patiently(hold, partial(succeed, stages=hold.stages))

    def _pulled(self, hold: Hold) -> JSON:
        params = hold.lease.job.params
        reference = parse_reference(params["pull"])
        registry = self._runtime.registry
        wanted = params.get("id") or (reference.encoder_id if isinstance(reference, PublishedReference) else None)
        if wanted is not None and registry.registered(wanted):
            card = registry.get(wanted)
            if card.weights is WeightsState.PRESENT:
                return {"encoder_id": card.id, "weights_digest": card.weights_digest, "n_tensors": None, "dropped": []}

        def on_bytes(done: int, total: int) -> None:
            # Megabytes, because the catalogue counts in 32 bits.
            hold.progress(done // _MEGABYTE, max(total, done) // _MEGABYTE, "MB")
            if done >= total > 0:
                hold.report()  # a short file is there before a heartbeat would tell
            else:
                hold.check()

        with hold.stage("fetch_s"):
            plan = plan_pull(
                reference,
                registry,
                self._access,
                encoder_id=params.get("id"),
                architecture=params.get("architecture"),
                sha256=params.get("sha256"),
            )
            windows = params.get("windows")
            pulled = pull(
                plan,
                registry,
                self._access.open(),
                accepted=bool(params.get("accept_licence")),
                on_bytes=on_bytes,
                windows=None if windows is None else tuple(windows),
            )
        return {
            "encoder_id": pulled.card.id,
            "weights_digest": pulled.card.weights_digest,
            "n_tensors": len(pulled.report.mapped),
            "dropped": [{"key": entry.key, "reason": entry.reason} for entry in pulled.report.dropped],
        }

"""Every refusal as a problem document (RFC 9457), and the one table that gives each error code its HTTP status."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from slicebank_imaging.errors import ImagingError
from slicebank_models.errors import ModelsError
from slicebank_service.errors import ServiceError
from slicebank_store.errors import StoreError

log = structlog.get_logger()

PROBLEM_JSON = "application/problem+json"

# A part that was restarted is back within seconds.
_RETRY_SECONDS = 2

# Of statuses that HTTP does not know (tus 1.0, checksum extension).
_TITLES: Mapping[int, str] = MappingProxyType({460: "Checksum Mismatch"})

# Every code of every room. 4xx is what a caller can mend; 500 is what only an operator can.
HTTP_STATUS: Mapping[str, int] = MappingProxyType(
    {
        # service
        "service_error": 500,
        "unauthorized": 401,
        "admins_only": 403,
        "upload_error": 400,
        "empty_body": 400,
        "malformed_upload": 400,
        "unsupported_media_type": 415,
        "body_too_large": 413,
        "digest_mismatch": 400,
        "storage_full": 507,
        "too_busy": 429,
        "queue_full": 429,
        "staging_full": 429,
        "too_many_uploads": 429,
        "client_disconnected": 400,
        "unsupported_tus_version": 412,
        "offset_mismatch": 409,
        "checksum_mismatch": 460,
        "upload_locked": 423,
        "upload_incomplete": 409,
        "nothing_usable": 422,
        "unknown_thing": 404,
        "unknown_bag": 404,
        "bag_not_ready": 404,
        "unknown_prediction": 404,
        "unknown_evaluation": 404,
        "unknown_plot": 404,
        "unknown_upload": 404,
        "prediction_not_ready": 404,
        "labels_unmatched": 422,
        "no_label_matches": 422,
        "some_unmatched": 422,
        "recipe_mixed": 422,
        "learnt_from": 422,
        "nothing_to_export": 422,
        "head_not_ready": 409,
        "recipe_mismatch": 409,
        "prediction_failed": 500,
        "dependency_failed": 409,
        "result_object_refused": 409,
        "uids_hashed": 409,
        "no_source_images": 409,
        "other_study": 422,
        "pacs_takes_nothing": 409,
        "bad_request": 422,
        "not_offered": 501,
        "range_not_satisfiable": 416,
        # imaging
        "imaging_error": 422,
        "file_refused": 422,
        "not_dicom": 422,
        "truncated_file": 422,
        "no_pixel_data": 422,
        "wrong_transfer_syntax": 422,
        "unsupported_transfer_syntax": 422,
        "bad_header": 422,
        "not_ct": 422,
        "localizer": 422,
        "not_an_image": 422,
        "not_grayscale": 422,
        "burned_in_annotation": 422,
        "too_many_pixels": 413,
        "several_volumes": 422,
        "no_orientation": 422,
        "missing_rescale": 422,
        "not_hu": 422,
        "series_refused": 422,
        "no_position": 422,
        "not_axial": 422,
        "duplicate_slice": 422,
        "too_many_slices": 413,
        "archive_refused": 422,
        "bad_archive": 422,
        "unsafe_name": 422,
        "encrypted_archive": 422,
        "nested_too_deep": 422,
        "too_many_files": 413,
        "archive_too_large": 413,
        "empty_archive": 422,
        "decode_failed": 422,
        "bad_option": 422,
        "codec_missing": 500,
        # models
        "models_error": 500,
        "encoder_error": 500,
        "unknown_encoder": 404,
        "unknown_architecture": 500,
        "bad_encoder_card": 500,
        "encoder_exists": 409,
        "encoder_not_registered": 409,
        "bad_encoder_reference": 422,
        "licence_not_accepted": 409,
        "hub_error": 502,
        "hub_offline": 409,
        "hub_unreachable": 503,
        "hub_access_denied": 502,
        "not_on_hub": 404,
        "pull_under_way": 409,
        "wrong_file": 502,
        "weights_missing": 409,
        "weights_digest_mismatch": 500,
        "bad_rows": 500,
        "checkpoint_error": 422,
        "unreadable_checkpoint": 422,
        "unsafe_checkpoint": 422,
        "checkpoint_mismatch": 422,
        "head_error": 422,
        "bad_task": 422,
        "unknown_training_key": 422,
        "bad_training_value": 422,
        "bad_head_file": 500,
        "dimension_mismatch": 409,
        "training_error": 422,
        "malformed_labels": 422,
        "no_cases": 422,
        "one_class_only": 422,
        "class_without_cases": 422,
        "too_few_patients": 422,
        "bad_splits": 422,
        "patient_leak": 422,
        "nothing_to_compare": 409,
        "training_diverged": 500,
        "training_cancelled": 409,
        "pretraining_error": 500,
        "bad_pretraining_setting": 422,
        "source_problem": 422,
        "bad_slice_cache": 422,
        "bad_pretraining_checkpoint": 422,
        "pretraining_diverged": 500,
        # store
        "store_error": 500,
        "catalogue_error": 503,
        "schema_mismatch": 503,
        "catalogue_missing": 503,
        "catalogue_unavailable": 503,
        "bad_backup": 422,
        "catalogue_not_empty": 409,
        "queue_unavailable": 503,
        "blob_missing": 500,
        "blobs_unavailable": 503,
        "blobs_full": 507,
        "bad_key": 422,
        "bad_cursor": 422,
        "bad_bag": 500,
        "bad_foreign_bag": 422,
        "bag_conflict": 409,
        "bad_pixels": 500,
        "slice_not_kept": 500,
        "unknown_series": 404,
        "unknown_stack": 404,
        "unknown_job": 404,
        "unknown_group": 404,
        "policy_fixed": 409,
        "key_mismatch": 500,
        "unknown_head": 404,
        "pixels_not_kept": 409,
        "not_cancellable": 409,
        "not_retryable": 409,
        "not_promotable": 409,
        "no_earlier_version": 409,
        "upload_missing": 410,
        "bad_sources": 500,
        "pacs_failed": 502,
        "pacs_unavailable": 503,
        "pacs_refused": 502,
        "unknown_source": 404,
        "study_not_found": 404,
        "nothing_selected": 422,
        "study_too_large": 413,
        "search_too_broad": 413,
    }
)

# Codes of refusals that no error class of ours raises: the router's, the validator's, and that of a crash.
FRAMEWORK_CODES: Mapping[str, int] = MappingProxyType(
    {
        "malformed_request": 400,
        "no_such_route": 404,
        "method_not_allowed": 405,
        "invalid_request": 422,
        "internal_error": 500,
        "http_error": 400,  # stands for every other status of the framework, and is sent with that status
    }
)
_CODE_OF_STATUS: Mapping[int, str] = MappingProxyType(
    {FRAMEWORK_CODES[code]: code for code in ("malformed_request", "no_such_route", "method_not_allowed")}
    | {HTTP_STATUS["body_too_large"]: "body_too_large"}
)


class ProblemResponse(JSONResponse):
    """A problem document as bytes."""

    media_type = PROBLEM_JSON

    def render(self, content: Any) -> bytes:
        """Writes JSON; lone surrogates of the request, which UTF-8 cannot carry, become question marks."""
        return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(errors="replace")


class Problem(BaseModel):
    """A problem document (RFC 9457); some codes carry further members."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str


# For the OpenAPI document of every route.
PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {
        "description": "Refused; `code` says why in one word, `detail` in a sentence.",
        "content": {PROBLEM_JSON: {"schema": Problem.model_json_schema()}},
    }
    for status in ("4XX", "5XX")
}


def problem(
    request_id: str,
    status: int,
    code: str,
    detail: str,
    *,
    extra: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Builds one problem document.

    Args:
        request_id: the request's id, so that a user can name it and an operator can find it in the log.
        status: HTTP status.
        code: machine-readable reason, stable between versions.
        detail: a sentence for a person.
        extra: further members.
        headers: further response headers.
    """
    body = {
        "type": "about:blank",
        "title": _TITLES.get(status) or HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": request_id,
        **(extra or {}),
    }
    return ProblemResponse(body, status_code=status, headers=dict(headers or {}))


def status_of(error: ImagingError | ModelsError | StoreError | ServiceError) -> int:
    """HTTP status of an error of any room."""
    return HTTP_STATUS[error.code]


def install(app: FastAPI) -> None:
    """Makes every refusal of an app a problem document."""
    for tree in (ImagingError, ModelsError, StoreError, ServiceError):
        app.add_exception_handler(tree, _known_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)


def _request_id(request: Request) -> str:
    return str(request.state.request_id)


async def _known_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ImagingError | ModelsError | StoreError | ServiceError)  # noqa: S101 - narrows for mypy
    status = status_of(error)
    extra, headers = (error.extra, error.headers) if isinstance(error, ServiceError) else ({}, {})
    request.state.code = error.code  # for the request's own log line, which is all that an outage costs
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers = {**headers, "Retry-After": str(_RETRY_SECONDS)}
    elif status >= HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.NOT_IMPLEMENTED:
        log.error("request_failed", code=error.code, error=type(error).__name__)
    return problem(_request_id(request), status, error.code, str(error), extra=extra, headers=headers)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - narrows for mypy
    # The offending input itself is left out: it may be a name or an identifier.
    errors = [{"where": ".".join(str(part) for part in item["loc"]), "what": item["msg"]} for item in error.errors()]
    detail = "; ".join(f"{item['where']}: {item['what']}" for item in errors[:3])
    code = "invalid_request"
    return problem(_request_id(request), FRAMEWORK_CODES[code], code, detail, extra={"errors": errors})


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - narrows for mypy
    code = _CODE_OF_STATUS.get(error.status_code, "http_error")
    detail = {
        "no_such_route": f"there is nothing at {request.url.path}; /openapi.json lists what there is",
        "method_not_allowed": f"{request.url.path} does not answer {request.method}",
    }.get(code, str(error.detail))
    return problem(_request_id(request), error.status_code, code, detail, headers=error.headers)

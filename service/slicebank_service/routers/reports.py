"""Reports: a page for a head and one for a prediction, and their figures as SVG."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import HTMLResponse

from slicebank_service.answers.reports import PlotList, PlotView
from slicebank_service.context import Ctx, Identifier
from slicebank_service.errors import UnknownPlot
from slicebank_service.routers.heads import trained_head
from slicebank_service.routers.predictions import stored_prediction

router = APIRouter(tags=["reports"])

# Answers of a head whose slices its report shows; each is a request's worth of pictures.
_ANSWERS_SHOWN = 4

Part = Annotated[
    Literal["pooled", "test"], Query(description="Cases: out-of-fold predictions of all folds, or the held-out test.")
]


@router.get("/heads/{head}/report", response_class=HTMLResponse)
def head_page(context: Ctx, head: Identifier) -> HTMLResponse:
    """Gives everything about a head version as one page that loads nothing: figures, data, protocol, and where it looks."""
    # Here and below, because figures bring matplotlib, which takes as long to load as a third of the service.
    from slicebank_service.reports.head_report import head_report
    from slicebank_service.reports.pages import HEADERS

    found, report = trained_head(context, head)
    answers = context.catalogue.predictions.latest(context.project, found.head_id, limit=_ANSWERS_SHOWN)
    return HTMLResponse(head_report(context, found, report, answers), headers=HEADERS)


@router.get("/heads/{head}/plots")
def head_plots(context: Ctx, head: Identifier) -> PlotList:
    """Lists the figures of a head version."""
    from slicebank_service.reports.plots import PLOTS, available_plots

    _, report = trained_head(context, head)
    return PlotList(
        items=[
            PlotView(name=name, part=part, title=PLOTS[name].title, about=PLOTS[name].about)
            for name, part in available_plots(report)
        ]
    )


@router.get("/heads/{head}/plots/{name}", response_class=Response, responses={200: {"content": {"image/svg+xml": {}}}})
def head_plot(context: Ctx, head: Identifier, name: Identifier, part: Part = "pooled") -> Response:
    """Draws a figure of a head version as SVG."""
    from slicebank_service.reports.pages import HEADERS
    from slicebank_service.reports.plots import PLOTS, available_plots, draw_plot
    from slicebank_service.reports.svg import to_svg

    _, report = trained_head(context, head)
    figure = draw_plot(report, name, part) if name in PLOTS else None
    if figure is None:
        known = ", ".join(f"{plot} ({of})" for plot, of in available_plots(report)) or "none"
        raise UnknownPlot(f"this head has no figure {name[:40]} of its {part} cases; it has {known}")
    return Response(to_svg(figure, name), media_type="image/svg+xml", headers=HEADERS)


@router.get("/predictions/{prediction_id}/report", response_class=HTMLResponse)
def prediction_page(
    context: Ctx,
    prediction_id: Identifier,
    top: Annotated[int, Query(ge=0, le=24, description="Slices shown, most attended first.")] = 8,
) -> HTMLResponse:
    """Gives everything about a prediction as one page that loads nothing: the answer, where the head looked, what it is."""
    from slicebank_service.reports.pages import HEADERS
    from slicebank_service.reports.prediction_report import prediction_report

    return HTMLResponse(prediction_report(context, stored_prediction(context, prediction_id), top), headers=HEADERS)

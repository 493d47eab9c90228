"""Charts. Each takes rows and words and returns an Altair chart, which Streamlit draws without any network."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from preview.reading import Rows
from preview.texts import Texts

ACCENT, SECOND, QUIET = "#0f6b62", "#c08a3e", "#b9b4a6"
Chart = Any  # a chart of one layer or several: Altair has no type for both
_HEIGHT = 210


def histogram(rows: Rows, t: Texts) -> Chart:
    """Draw how many places have which chance, on a logarithmic axis."""
    x = alt.X("chance_from:Q", bin="binned", title=t("chances_axis"), axis=alt.Axis(format="~p"))
    return (
        alt.Chart(pd.DataFrame(rows))
        .mark_bar(color=ACCENT, opacity=0.85)
        .encode(
            x=x.scale(type="log"),
            x2="chance_to:Q",
            y=alt.Y("places:Q", title=t("places")),
            tooltip=[
                alt.Tooltip("chance_from:Q", format=".3%", title="≥"),
                alt.Tooltip("chance_to:Q", format=".3%", title="<"),
                alt.Tooltip("places:Q", format=",", title=t("places")),
            ],
        )
        .properties(height=_HEIGHT)
    )


def by_rank(rows: Rows, t: Texts, column: str, title: str) -> Chart:
    """Draw the median of `column` per place in the list, in a band from the 10th to the 90th percentile."""
    base = alt.Chart(pd.DataFrame(rows)).encode(
        x=alt.X("rank:Q", title=t("list_rank"), axis=alt.Axis(tickMinStep=1)).scale(zero=False)
    )
    scale = alt.Scale(type="log") if column == "chance" else alt.Scale()
    axis = alt.Axis(format="~p")
    band = base.mark_area(color=ACCENT, opacity=0.18).encode(
        y=alt.Y(f"{column}_low:Q", title=title, axis=axis, scale=scale), y2=f"{column}_high:Q"
    )
    line = base.mark_line(color=ACCENT, point=alt.OverlayMarkDef(color=ACCENT)).encode(
        y=alt.Y(f"{column}:Q", title=title, axis=axis, scale=scale),
        tooltip=[
            alt.Tooltip("rank:Q", title=t("list_rank")),
            *[alt.Tooltip(f"{name}:Q", format=".2%") for name in (f"{column}_low", column, f"{column}_high")],
        ],
    )
    return alt.layer(band, line).properties(height=_HEIGHT)


def metric_over_days(rows: Rows, t: Texts, title: str) -> Chart:
    """Draw one metric over the days, with its 95% interval, beside popularity."""
    frame = pd.DataFrame(rows)
    frame["day"] = [f"{day:%m-%d}" for day in frame["as_of_date"]]
    frame["measured"] = [t.code("protocol", protocol) for protocol in frame["protocol"]]
    base = alt.Chart(frame).encode(x=alt.X("day:O", title=None, axis=alt.Axis(labelAngle=0, labelOverlap=True)))
    measured = alt.Color(
        "measured:N",
        title=t("protocol"),
        scale=alt.Scale(range=[ACCENT, "#3b6ea5"]),
        legend=alt.Legend(orient="bottom", titleOrient="left"),
    )
    y = alt.Y("value:Q", title=title, scale=alt.Scale(zero=True))
    tooltip = [
        alt.Tooltip("as_of_date:T", title=t("day")),
        alt.Tooltip("model:N", title=t("model")),
        alt.Tooltip("value:Q", format=".4f", title=t("metric_value")),
        alt.Tooltip("value_low:Q", format=".4f"),
        alt.Tooltip("value_high:Q", format=".4f"),
        alt.Tooltip("baseline_value:Q", format=".4f", title=t("baseline")),
        alt.Tooltip("users:Q", format=",", title=t("users")),
    ]
    return alt.layer(
        base.mark_rule(strokeWidth=2, opacity=0.5).encode(
            y=alt.Y("value_low:Q", title=title), y2="value_high:Q", color=measured
        ),
        base.mark_line(strokeDash=[4, 3], color=QUIET).encode(y="baseline_value:Q", detail="measured:N"),
        base.mark_point(shape="stroke", color=QUIET, size=120).encode(y="baseline_value:Q"),
        base.mark_line().encode(y=y, color=measured),
        base.mark_point(filled=True, size=70, opacity=1).encode(y=y, color=measured, tooltip=tooltip),
    ).properties(height=_HEIGHT)


def dressed(chart: Chart) -> Chart:
    """Give a chart the page's letters and a quiet grid."""
    font = "'Source Sans', 'PingFang SC', 'Microsoft YaHei', 'Noto Sans CJK SC', 'WenQuanYi Micro Hei', sans-serif"
    grid, words = "#ecebe5", "#69727a"
    return (
        chart.configure(font=font, background="transparent")
        .configure_view(stroke=None)
        .configure_axis(
            gridColor=grid,
            domainColor="#d8d5cc",
            tickColor="#d8d5cc",
            labelColor=words,
            titleColor=words,
            titleFontWeight="normal",
            labelFontSize=11,
            titleFontSize=12,
        )
        .configure_legend(labelColor=words, titleColor=words, titleFontWeight="normal")
    )

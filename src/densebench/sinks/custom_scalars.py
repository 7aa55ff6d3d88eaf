"""TensorBoard's page of custom scalars: one chart for each figure, with the lines of all recipes in it."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.custom_scalar import layout_pb2, metadata
from tensorboard.util.tensor_util import make_tensor_proto


def layout(titles: Mapping[str, str]) -> Summary:
    """The page's layout: a category for each group of figures, a chart for each figure.

    Args:
        titles: each figure's tag, `group/name`, with what is written above its chart.

    """
    groups: dict[str, list[layout_pb2.Chart]] = {}
    for tag, title in titles.items():
        # the page matches from the tag's start only
        lines = layout_pb2.MultilineChartContent(tag=[f"{re.escape(tag)}$"])
        chart = layout_pb2.Chart(title=title, multiline=lines)
        groups.setdefault(tag.partition("/")[0], []).append(chart)
    categories = [layout_pb2.Category(title=group, chart=charts) for group, charts in groups.items()]
    value = Summary.Value(
        tag=metadata.CONFIG_SUMMARY_TAG,
        metadata=metadata.create_summary_metadata(),
        tensor=make_tensor_proto(
            layout_pb2.Layout(category=categories).SerializeToString(), dtype=np.object_
        ),
    )
    return Summary(value=[value])

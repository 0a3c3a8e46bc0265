"""Draw memory over units as SVG: one file, no scripts, for light and dark pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mergegraph.plan.plan import Plan
from mergegraph.report.palette import DARK_PAGE, DARK_TEXT, PAGE, TEXT, colours
from mergegraph.report.timeline import Step, units
from mergegraph.sizes import format_size

WIDTH, HEIGHT = 720.0, 190.0
TOP, BOTTOM = 34.0, 170.0


def timeline_svg(steps: Sequence[Step], plan: Plan) -> str:
    """Return the chart of a plan's memory, with its peak and the least in which it could run."""
    return "\n".join(_lines(steps, plan)) + "\n"


def _lines(steps: Sequence[Step], plan: Plan) -> Iterator[str]:
    most = max(plan.planned_peak_bytes, plan.lower_bound_bytes)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH:.0f}" height="{HEIGHT:.0f}" '
        f'viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" aria-label="memory over units">'
    )
    blue = colours("checkpoint")
    yield f"<style>text{{font:12px sans-serif;fill:{TEXT}}}.page{{fill:{PAGE}}}"
    yield f".steps{{fill:{blue.fill};stroke:{blue.border}}}"
    yield "line{stroke-width:1.5;stroke-dasharray:5 4}.peak{stroke:#2563eb}.bound{stroke:#16a34a}"
    yield f"@media(prefers-color-scheme:dark){{text{{fill:{DARK_TEXT}}}.page{{fill:{DARK_PAGE}}}"
    yield f".steps{{fill:{blue.dark_fill};stroke:{blue.dark_border}}}}}</style>"
    yield '<rect class="page" width="100%" height="100%"/>'
    yield f'<path class="steps" d="{_area(steps, most, units(plan))}"/>'
    for name, text, nbytes in (
        ("peak", "planned peak", plan.planned_peak_bytes),
        ("bound", "proven bound", plan.lower_bound_bytes),
    ):
        y = _height(nbytes, most)
        yield f'<line class="{name}" x1="0" x2="{WIDTH:.0f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="6" y="{y - 5:.1f}">{text} {format_size(nbytes)}</text>'
    yield f'<text x="{WIDTH - 6:.0f}" y="{HEIGHT - 5:.0f}" text-anchor="end">{units(plan):,} units</text>'
    yield "</svg>"


def _height(nbytes: int, most: int) -> float:
    return BOTTOM - (BOTTOM - TOP) * nbytes / most


def _area(steps: Sequence[Step], most: int, count: int) -> str:
    path = [f"M0 {BOTTOM:.1f}"]
    for step in steps:
        x, end = (WIDTH * unit / count for unit in (step.first, step.last + 1))
        path.append(f"L{x:.1f} {_height(step.memory, most):.1f}H{end:.1f}")
    return f"{''.join(path)}V{BOTTOM:.1f}Z"

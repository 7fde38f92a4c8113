"""What compare.py writes of the parts' results: a Markdown table, a bar chart, the plot of linear cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

OURS_COLOUR, RIVAL_COLOUR = "#1f6f8b", "#b8b8b8"
BARS = (
    ("nmnist", "training", "Training 2312-800-10"),
    ("nmnist", "inference, random weights", "Inference, random weights"),
    ("nmnist", "inference, trained", "Inference, trained weights"),
    ("mnist", "MNIST training, 2 cores", "MNIST training, 2 cores"),
)


def number(value: float | None) -> str:
    """Three significant digits, without an exponent where a reader needs none."""
    if value is None:
        return ""
    if value and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.3g}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def markdown(results: dict[str, Any]) -> str:
    """All parts as tables."""
    lines = ["# Benchmark results", "", describe(results), ""]
    for name, part in results["parts"].items():
        lines += [f"## {name}", ""]
        if part.get("status"):
            lines += [f"{part['status']}: {part['reason']}", ""]
            continue
        lines += rows_table(part.get("rows", []), part.get("missing", []))
        lines += comparisons_table(part.get("comparisons", []))
        lines += [f"- {note}" for note in part.get("notes", [])]
        lines += [""] if part.get("notes") else []
    return "\n".join(lines)


def describe(results: dict[str, Any]) -> str:
    """The machine and the versions, in a paragraph."""
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    kind = "Quick run: it shows that everything works, not how fast it is. " if results["quick"] else ""
    return (
        f"{kind}{machine['processor']}, {machine['cores']} cores, {machine['instruction_set']}, "
        f"load {number(machine['load_1_min'])} at the start. Medians of {results['repeats']} repeats. "
        f"{versions}."
    )


def rows_table(rows: list[dict[str, Any]], missing: list[dict[str, str]]) -> list[str]:
    """What was measured, and who could not be."""
    if not rows and not missing:
        return []
    lines = [
        "| workload | contender | median (min - max) | unit | of wall time | batch | accuracy | peak MiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        least = f"{number(r['min'])} - " if r["min"] is not None else "best "
        median = f"**{number(r['median'])}** ({least}{number(r['max'])})"
        wall = sorted(r["rate_wall"])[len(r["rate_wall"]) // 2] if r.get("rate_wall") else None
        accuracy = f"{100 * r['accuracy']:.1f} %" if r.get("accuracy") is not None else ""
        cells = [r["workload"], r["contender"], median, r["unit"], number(wall), str(r.get("batch", ""))]
        lines.append("| " + " | ".join([*cells, accuracy, number(r.get("peak_mib"))]) + " |")
    for m in missing:
        lines.append(f"| {m['status']} | {m['contender']} | {m['reason'].replace('|', '/')} | | | | | |")
    return [*lines, ""]


def comparisons_table(comparisons: list[dict[str, Any]]) -> list[str]:
    """Ratios beside their bars."""
    if not comparisons:
        return []
    lines = ["| compared | value | bar | met |", "|---|---|---|---|"]
    for c in comparisons:
        sign = ">=" if c["at_least"] else "<="
        bar = f"{sign} {number(c['bar'])}" if c["bar"] is not None else ""
        met = {True: "yes", False: "no", None: ""}[c["met"]]
        note = f" ({c['note']})" if c["note"] else ""
        lines.append(f"| {c['name']}{note} | {number(c['value'])} | {bar} | {met} |")
    return [*lines, ""]


def draw(results: dict[str, Any], folder: Path) -> list[Path]:
    """Pictures of the parts that are there; their files."""
    import matplotlib

    matplotlib.use("Agg")
    drawn = []
    for draw_one, file in (
        (draw_rates, "rates.png"),
        (draw_curves, "linear_cost.png"),
        (draw_accuracy, "accuracy.png"),
    ):
        figure = draw_one(results["parts"])
        if figure is not None:
            figure.savefig(folder / file, dpi=120, bbox_inches="tight")
            drawn.append(folder / file)
    return drawn


def draw_rates(parts: dict[str, Any]) -> Any:
    """Bars of samples per second, from zero."""
    from matplotlib.figure import Figure

    found = []
    for part, workload, title in BARS:
        rows = [r for r in parts.get(part, {}).get("rows", []) if r["workload"] == workload]
        if rows:
            found.append((title, rows))
    if not found:
        return None
    figure = Figure(figsize=(8, 0.6 + sum(0.55 + 0.3 * len(rows) for _, rows in found)))
    axes = figure.subplots(
        len(found), 1, squeeze=False, gridspec_kw={"height_ratios": [len(rows) for _, rows in found]}
    )[:, 0]
    for ax, (title, rows) in zip(axes, found, strict=True):
        rows = sorted(rows, key=lambda r: r["median"])
        colours = [OURS_COLOUR if r["contender"].startswith("eventsnn") else RIVAL_COLOUR for r in rows]
        medians = [r["median"] for r in rows]
        errors = [[r["median"] - r["min"] for r in rows], [r["max"] - r["median"] for r in rows]]
        ax.barh([r["contender"] for r in rows], medians, color=colours, xerr=errors, ecolor="#555555")
        end = max(r["max"] for r in rows)
        for y, r in enumerate(rows):
            ax.text(r["max"] + end / 60, y, number(r["median"]), va="center", fontsize=9)
        ax.set_xlim(0, 1.12 * end)
        ax.set_title(f"{title}, {rows[0]['unit']}", loc="left", fontsize=10)
        ax.spines[["top", "right"]].set_visible(False)
    figure.subplots_adjust(hspace=0.55 if len(found) > 1 else 0.2)
    return figure


def draw_curves(parts: dict[str, Any]) -> Any:
    """Seconds against size, both doubled twice, beside a straight line through the largest."""
    from matplotlib.figure import Figure

    curves = parts.get("linear_cost", {}).get("curves", [])
    if not curves:
        return None
    names = sorted({c["axis"] for c in curves})
    figure = Figure(figsize=(3.2 * len(names), 3))
    axes = figure.subplots(1, len(names), squeeze=False)[0]
    for ax, name in zip(axes, names, strict=True):
        for c in (c for c in curves if c["axis"] == name):
            colour = OURS_COLOUR if c["what"] == "train" else "#d08c3c"
            label = f"{'training' if c['what'] == 'train' else 'inference'}, exponent {c['exponent']:.2f}"
            ax.plot(c["sizes"], c["seconds"], "o-", color=colour, label=label)
            ax.plot([0, c["sizes"][-1]], [0, c["seconds"][-1]], ":", color=colour, linewidth=1)
        ax.set_xlim(0)
        ax.set_ylim(0, 1.3 * ax.get_ylim()[1])
        ax.set_xlabel({"events": "events per recording", "hidden": "hidden neurons"}.get(name, "recordings"))
        ax.legend(fontsize=7, frameon=False, loc="upper left")
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("seconds of processor time")
    figure.tight_layout()
    return figure


def draw_accuracy(parts: dict[str, Any]) -> Any:
    """Accuracy on held-out recordings against core seconds, mean and range of the seeds."""
    from matplotlib.figure import Figure

    rows = parts.get("accuracy", {}).get("rows", [])
    if not rows:
        return None
    figure = Figure(figsize=(7, 4))
    ax = figure.subplots()
    for k, name in enumerate(sorted({r["contender"] for r in rows})):
        found = sorted((r for r in rows if r["contender"] == name), key=lambda r: r["checkpoint"])
        means = [r["mean"] for r in found]
        ours = name.startswith("eventsnn")
        spread = [
            [m - r["min"] for m, r in zip(means, found, strict=True)],
            [r["max"] - m for m, r in zip(means, found, strict=True)],
        ]
        style = {"color": OURS_COLOUR if ours else f"C{k}", "linewidth": 2.5 if ours else 1.2}
        ax.errorbar(
            [r["checkpoint"] for r in found], means, spread, marker="o", capsize=3, label=name, **style
        )
    ax.set_xscale("log")
    ticks = sorted({r["checkpoint"] for r in rows})
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    ax.set_xlabel("core seconds of training")
    ax.set_ylabel("accuracy on held-out recordings, %")
    ax.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    ax.spines[["top", "right"]].set_visible(False)
    return figure

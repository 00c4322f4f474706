"""The table of figures: what was promised, what was measured."""

import os
import platform


def quantile(values, share):
    """The value below which that share of the values lies (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * share // 100) - 1)]


class Table:
    def __init__(self):
        self.rows = []

    def add(self, figure, what, measured, target, unit, note=""):
        """A row; `target` is the most that is allowed, or None where nothing is promised."""
        met = None if measured is None or target is None else measured <= target
        self.rows.append(
            {"figure": figure, "what": what, "measured": measured, "target": target, "unit": unit, "met": met, "note": note}
        )

    def all_met(self):
        return all(row["met"] is not False and row["measured"] is not None for row in self.rows)

    def text(self, command):
        def number(value, unit):
            if value is None:
                return "-"
            text = f"{value:.2f}" if isinstance(value, float) and value < 100 else f"{value:,.0f}"
            return f"{text} {unit}".strip()

        lines = [
            f"`{command}` on {os.cpu_count()} x {cpu()}, Linux {platform.release()}",
            "",
            "| figure | measured | target | met | note |",
            "|---|--:|--:|---|---|",
        ]
        for row in self.rows:
            met = {True: "yes", False: "NO", None: "-"}[row["met"]]
            target = "" if row["target"] is None else "≤ " + number(row["target"], row["unit"])
            lines.append(
                f"| {row['what']} | {number(row['measured'], row['unit'])} | {target} | {met} | {row['note']} |"
            )
        return "\n".join(lines)


def cpu():
    try:
        with open("/proc/cpuinfo") as info:
            for line in info:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()

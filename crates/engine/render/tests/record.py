#!/usr/bin/env python3
"""Records what real Helm makes of the cases next to this script.

Needs the Python package helm-python-sdk (0.2.2, Helm 4.2.3) on PYTHONPATH. The tests compare with the recordings and
need neither. Run it after changing a case:

    PYTHONPATH=<folder of the package> tests/record.py
"""

import json
import pathlib
import shutil
import tempfile

from helm_python import Chart

HERE = pathlib.Path(__file__).parent / "cases"
CHART = "apiVersion: v2\nname: demo\nversion: 1.2.3\nappVersion: 4.5.6\n"
RELEASE = {"name": "rel", "namespace": "ns"}


def snippets(path):
    """Title and template of every case of a file."""
    for case in path.read_text().split("=== ")[1:]:
        title, template = case.split("\n", 1)
        yield title, template.removesuffix("\n")


def render(folder, **options):
    """The text of every template of a chart, or Helm's error."""
    try:
        with Chart.load(folder) as chart:
            return {"texts": chart.render(**RELEASE, **options)}
    except Exception as error:  # noqa: BLE001 - whatever Helm says is the recording
        return {"error": str(error)}


def record_snippets(path):
    recorded = {}
    for title, template in snippets(path):
        with tempfile.TemporaryDirectory() as name:
            root = pathlib.Path(name) / "demo"
            (root / "templates").mkdir(parents=True)
            (root / "conf").mkdir()
            (root / "Chart.yaml").write_text(CHART)
            (root / "data.txt").write_text("one\ntwo\n")
            (root / "conf" / "a.txt").write_text("alpha\n")
            (root / "conf" / "b.ini").write_text("[b]\nx=1")
            (root / "templates" / "case.txt").write_text(template)
            for shared in ("values.yaml", "_helpers.tpl"):
                target = root / ("templates" if shared.startswith("_") else "") / shared
                shutil.copy(path.parent / shared, target)
            result = render(root)
        if "texts" in result:
            result = {"text": result["texts"]["demo/templates/case.txt"]}
        assert title not in recorded, f"{path.name}: {title} is there twice"
        recorded[title] = result
    path.with_suffix(".json").write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n")
    return len(recorded)


def record_chart(path):
    given = path / "given.json"
    options = json.loads(given.read_text()) if given.exists() else {}
    result = render(path / "chart", **options)
    (path / "recorded.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    count = sum(record_snippets(path) for path in sorted(HERE.glob("snippets/*.tpl")) if path.name[0] != "_")
    charts = sorted(path for path in (HERE / "charts").glob("*") if path.is_dir())
    for chart in charts:
        record_chart(chart)
    print(f"recorded {count} snippets and {len(charts)} charts")

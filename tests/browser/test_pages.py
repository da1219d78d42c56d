"""Both pages in a real browser: no console errors, pictures present, sorting, filtering and turning work."""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from calciflow.qc import draw_scan
from calciflow.report import write_report

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)

_SPEC = importlib.util.spec_from_file_location("page_inputs", Path(__file__).parent.parent / "page_inputs.py")
assert _SPEC is not None
assert _SPEC.loader is not None
inputs = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(inputs)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (Debian: apt install chromium)")
    scan = inputs.scan_files(tmp_path_factory.mktemp("scan"))
    draw_scan(**scan)
    cohort = inputs.cohort_files(tmp_path_factory.mktemp("cohort"))
    write_report(**cohort)
    return {"qc": Path(scan["page"]), "report": Path(cohort["page"])}


def browse(page: Path, profile: Path, *options: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    quiet = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --enable-logging=stderr --virtual-time-budget=4000"
    )
    command = [CHROMIUM, *quiet.split(), f"--user-data-dir={profile}", *options, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def console(run: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in run.stderr.splitlines() if "CONSOLE" in line or "Content Security Policy" in line]


def ask(page: Path, folder: Path, script: str, *options: str) -> str:
    """Let a script look at the page from inside: a copy whose policy allows it, and what it leaves as the title."""
    text = page.read_text(encoding="utf-8")
    text, count = re.subn(r"script-src 'sha256-[^']+'", "script-src 'unsafe-inline'", text)
    assert count == 1
    copy = folder / "asked.html"
    copy.write_text(
        text.replace("</body>", f"<script>document.title = String({script});</script></body>"), encoding="utf-8"
    )
    run = browse(copy, folder / "profile", *options, "--dump-dom")
    found = re.search(r"<title>(.*?)</title>", run.stdout, re.DOTALL)
    assert found is not None
    return found.group(1)


@pytest.mark.parametrize("name", ["qc", "report"])
def test_nothing_is_said_on_the_console(pages: dict[str, Path], tmp_path: Path, name: str) -> None:
    run = browse(pages[name], tmp_path / "profile", "--dump-dom")
    assert "</html>" in run.stdout
    assert console(run) == []


def test_the_policy_stops_other_scripts(pages: dict[str, Path], tmp_path: Path) -> None:
    copy = tmp_path / "attacked.html"
    attack = "<script>document.title = 'taken';</script><img src='x' onerror=\"document.title = 'taken'\">"
    copy.write_text(pages["qc"].read_text(encoding="utf-8").replace("</main>", f"{attack}</main>"), encoding="utf-8")
    run = browse(copy, tmp_path / "profile", "--dump-dom")
    assert "<title>taken</title>" not in run.stdout
    assert console(run)


@pytest.mark.parametrize("name", ["qc", "report"])
def test_pictures_are_there(pages: dict[str, Path], tmp_path: Path, name: str) -> None:
    script = "[document.images.length, Array.from(document.images).filter(i => i.naturalWidth < 20).length].join()"
    count, broken = ask(pages[name], tmp_path, script).split(",")
    assert int(count) >= 6
    assert int(broken) == 0


SORT: dict[str, tuple[str, int, list[Any]]] = {
    # column's place, and the order of its cells after one click and after two
    "qc": ("#lesion-table", 6, ["0.905", "3.05", "n/a"]),
}


def test_sorting(pages: dict[str, Path], tmp_path: Path) -> None:
    table, place, rising = SORT["qc"]
    script = """(function () {
      var table = document.querySelector('%s'), button = table.querySelectorAll('thead th button')[%d];
      function cells() { return Array.from(table.tBodies[0].rows).map(r => r.cells[%d].textContent).join(' '); }
      button.click(); var up = cells(), said = button.closest('th').getAttribute('aria-sort');
      button.click(); return [up, said, cells(), button.closest('th').getAttribute('aria-sort')].join('|');
    })()""" % (table, place, place)  # noqa: UP031 - braces belong to the script
    up, said, down, said_then = ask(pages["qc"], tmp_path, script).split("|")
    assert up.split() == rising
    assert said == "ascending"
    assert down.split() == ["3.05", "0.905", "n/a"]  # what is absent stays last
    assert said_then == "descending"


def test_every_table_of_the_report_sorts_and_is_reached_by_keyboard(pages: dict[str, Path], tmp_path: Path) -> None:
    script = """(function () {
      document.querySelectorAll('details').forEach(d => { d.open = true; });
      var faults = [], tables = document.querySelectorAll('table.sortable'), checked = 0;
      tables.forEach(function (table) {
        table.querySelectorAll('thead th').forEach(function (head, place) {
          var button = head.querySelector('button');
          button.focus();
          if (document.activeElement !== button) { faults.push(table.id + ' focus ' + place); }
          if (!head.classList.contains('num')) { return; }
          button.click();
          var cells = Array.from(table.tBodies[0].rows).map(r => r.cells[place].dataset.v);
          var there = cells.filter(v => v !== '').map(Number);
          var sorted = there.every((v, i) => i === 0 || there[i - 1] <= v);
          if (!sorted || cells.slice(0, there.length).includes('')) { faults.push(table.id + ' column ' + place); }
          checked += 1;
        });
      });
      return [tables.length, checked, faults.join(' ')].join('|');
    })()"""
    tables, checked, faults = ask(pages["report"], tmp_path, script).split("|")
    assert faults == ""
    assert int(tables) >= 3
    assert int(checked) > 30


def test_filter(pages: dict[str, Path], tmp_path: Path) -> None:
    script = """(function () {
      var input = document.querySelector('input[data-filters=lesion-table]');
      input.value = 'sub-02 muscle'; input.dispatchEvent(new Event('input'));
      var rows = Array.from(document.querySelector('#lesion-table').tBodies[0].rows).filter(r => !r.hidden);
      var fit = rows.every(r => /sub-02/.test(r.textContent) && /muscle/.test(r.textContent));
      return [rows.length, fit, document.getElementById('lesion-count').textContent].join('|');
    })()"""
    count, fit, said = ask(pages["report"], tmp_path, script).split("|")
    assert 0 < int(count) < 8
    assert fit == "true"
    assert said == f"{count} of 48 rows"


def test_turning_and_outlines(pages: dict[str, Path], tmp_path: Path) -> None:
    script = """(function () {
      var slider = document.querySelector('.turn input'); slider.value = 5; slider.dispatchEvent(new Event('input'));
      var shown = Array.from(document.querySelectorAll('.turn img')).map(f => f.hidden ? 0 : 1).join('');
      document.querySelector('[data-do=outlines]').click();
      var line = getComputedStyle(document.querySelector('svg.view .line')).display;
      document.querySelector('[data-do=theme]').click();
      return [shown, line, document.documentElement.getAttribute('data-theme')].join('|');
    })()"""
    shown, line, theme = ask(pages["qc"], tmp_path, script).split("|")
    assert shown == "0" * 5 + "1" + "0" * 12
    assert line == "none"
    assert theme == "dark"


def test_nothing_sticks_out_of_a_narrow_window(pages: dict[str, Path], tmp_path: Path) -> None:
    for name in ("qc", "report"):
        folder = tmp_path / name
        folder.mkdir()
        width = ask(pages[name], folder, "document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert int(width) <= 0


@pytest.mark.parametrize("width", [420, 1024, 1400])
def test_the_numbers_at_a_glance_fit_into_their_boxes(pages: dict[str, Path], tmp_path: Path, width: int) -> None:
    """Scores of three digits; they do not wrap, and were cut off at the edge of their box."""
    script = """(function () {
      var boxes = Array.from(document.querySelectorAll('.keys div'));
      boxes.forEach(box => { box.querySelector('dd').firstChild.textContent = '119.8 / 115.2'; });
      var frame = document.querySelector('.keys').getBoundingClientRect();
      var out = boxes.filter(box => {
        var range = document.createRange(); range.selectNodeContents(box.querySelector('dd').firstChild);
        var own = box.getBoundingClientRect();
        return range.getBoundingClientRect().right > own.right || own.right > frame.right + 1;
      });
      return [boxes.length, out.length].join('|');
    })()"""
    boxes, out = ask(pages["report"], tmp_path, script, f"--window-size={width},1000").split("|")
    assert int(boxes) >= 5
    assert int(out) == 0


def test_a_scans_table_of_classes_shows_its_sums(pages: dict[str, Path], tmp_path: Path) -> None:
    """Beside the turning projection the last column, the sums, hid behind a scroll bar."""
    script = """(function () {
      var table = document.querySelector('table.classes');
      return [table.rows[0].cells.length, table.scrollWidth - table.parentElement.clientWidth].join('|');
    })()"""
    columns, beyond = ask(pages["qc"], tmp_path, script, "--window-size=1200,1000").split("|")
    assert int(columns) == 5
    assert int(beyond) <= 0


def test_the_table_of_regions_shows_every_modality(pages: dict[str, Path], tmp_path: Path) -> None:
    # On a laptop's screen the last column, the clinicians', must not hide behind a scroll bar.
    script = """(function () {
      var table = document.querySelector('table.heat');
      return [table.rows[0].cells.length, table.scrollWidth - table.parentElement.clientWidth].join('|');
    })()"""
    columns, beyond = ask(pages["report"], tmp_path, script, "--window-size=1300,1000").split("|")
    assert int(columns) == 5
    assert int(beyond) <= 0


def test_the_four_projections_stand_side_by_side(pages: dict[str, Path], tmp_path: Path) -> None:
    script = """(function () {
      var tops = Array.from(document.querySelectorAll('.views.across figure'), f => f.getBoundingClientRect().top);
      var shapes = Array.from(document.querySelectorAll('.views.across svg'), f => f.getBoundingClientRect().height);
      return [tops.length, new Set(tops).size, Math.max(...shapes) - Math.min(...shapes)].join('|');
    })()"""
    count, rows, difference = ask(pages["qc"], tmp_path, script, "--window-size=1300,1000").split("|")
    assert (int(count), int(rows)) == (4, 1)
    assert float(difference) < 3  # one scale for all: the same height


def test_prints(pages: dict[str, Path], tmp_path: Path) -> None:
    target = tmp_path / "report.pdf"
    browse(pages["report"], tmp_path / "profile", "--no-pdf-header-footer", f"--print-to-pdf={target}")
    assert target.read_bytes().startswith(b"%PDF")
    assert target.stat().st_size > 50_000


def test_a_large_cohort_fits_the_screen(tmp_path: Path) -> None:
    """The wall of people scrolls in its own box; with counts of three digits the clinicians' column is in view."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (Debian: apt install chromium)")
    cohort = inputs.cohort_files(tmp_path / "cohort", people=110, lesions_each=3)
    write_report(**cohort)
    script = """(function () {
      var people = document.querySelector('.people'), table = document.querySelector('table.heat');
      var box = people.getBoundingClientRect().height, beyond = table.scrollWidth - table.parentElement.clientWidth;
      return [box, people.scrollHeight, table.rows[0].cells.length, beyond].join('|');
    })()"""
    box, inside, columns, beyond = map(
        float, ask(Path(cohort["page"]), tmp_path, script, "--window-size=1300,1000").split("|")
    )
    assert box < 800 < inside
    assert columns == 5
    assert beyond <= 0


@pytest.mark.parametrize("name", ["qc", "report"])
def test_nothing_is_cut_off_on_paper(pages: dict[str, Path], tmp_path: Path, name: str) -> None:
    """The rules for print, on a screen as wide as the paper between its margins (A4: 186 mm, across: 277 mm)."""
    page = tmp_path / f"{name}.html"
    text = pages[name].read_text(encoding="utf-8").replace("@media print", "@media all")
    page.write_text(text.replace("max-width: 60rem", "max-width: 1px"), encoding="utf-8")
    script = """(function () {
      document.querySelectorAll('details').forEach(d => { d.open = true; });
      function widest(fits) {
        document.body.style.width = (fits ? 277 : 186) + 'mm';
        var room = document.body.getBoundingClientRect().width;
        var tables = Array.from(document.querySelectorAll('table, svg.chart, .charts img, .prose'));
        tables = tables.filter(t => !!t.closest('.on-wide') === fits);
        return [tables.length, Math.max(...tables.map(t => t.getBoundingClientRect().width)) - room].join('|');
      }
      return widest(false) + '|' + widest(true);
    })()"""
    upright, over, across, over_across = map(float, ask(page, tmp_path, script, "--window-size=1100,1000").split("|"))
    assert upright > 2
    assert across >= (3 if name == "report" else 1)
    assert over <= 0
    assert over_across <= 0


def test_heads_of_tables_are_repeated_on_each_page(pages: dict[str, Path], tmp_path: Path) -> None:
    """A button is left out of a repeated head; its text alone is not."""
    page = tmp_path / "paper.html"
    page.write_text(pages["report"].read_text(encoding="utf-8").replace("@media print", "@media all"), encoding="utf-8")
    assert ask(page, tmp_path, "getComputedStyle(document.querySelector('th button')).display") == "contents"


def test_paper_is_light_whatever_the_screen_was(pages: dict[str, Path], tmp_path: Path) -> None:
    page = tmp_path / "paper.html"
    text = pages["report"].read_text(encoding="utf-8").replace("@media print", "@media all")
    page.write_text(text.replace("(prefers-color-scheme: dark)", "all"), encoding="utf-8")
    script = """(function () {
      var said = [];
      ['', 'dark'].forEach(function (theme) {
        if (theme) { document.documentElement.setAttribute('data-theme', theme); }
        said.push(getComputedStyle(document.body).backgroundColor);
        said.push(getComputedStyle(document.querySelector('.heat td.cell.deep')).color);
      });
      return new Array(...new Set(said)).join('|');
    })()"""
    assert ask(page, tmp_path, script) == "rgb(255, 255, 255)"

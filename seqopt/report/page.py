"""The frame of the HTML page: inline style, light and dark, no script and nothing from outside."""

from __future__ import annotations

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>@TITLE@</title>
<style>
:root { color-scheme: light dark; --bg: #f6f8fa; --card: #ffffff; --ink: #1b2530; --faint: #5d6873; --line: #dfe5ec;
  --blue: #1f6fb4; --good: #1c7a43; --bad: #b3202a; --code: #eef2f6; }
@media (prefers-color-scheme: dark) { :root { --bg: #12171d; --card: #1a2129; --ink: #e4e9ee; --faint: #9aa6b2;
  --line: #2c3640; --blue: #6db0ea; --good: #66c98e; --bad: #ff8a8f; --code: #252e38; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 1020px; margin: 0 auto; padding: 28px 20px 60px; }
header { margin-bottom: 22px; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 8px; overflow-wrap: anywhere; }
h2 { font-size: 1.12rem; margin: 0 0 12px; }
.lead { font-size: 1.08rem; color: var(--faint); margin: 0 0 10px; }
.verdict { margin: 0; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 18px 20px;
  margin: 0 0 18px; min-width: 0; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(340px, 100%), 1fr)); column-gap: 18px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 0.94rem; }
th, td { text-align: left; padding: 6px 10px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--faint); font-weight: 600; font-size: 0.84rem; }
tbody tr:last-child td { border-bottom: 0; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.n, th.n { padding-right: 18px; }
.good { color: var(--good); font-weight: 600; }
.bad { color: var(--bad); font-weight: 600; }
.bar { display: inline-block; width: 74px; height: 8px; border-radius: 4px; background: var(--line);
  margin-right: 8px; overflow: hidden; }
.bar i { display: block; height: 100%; background: var(--blue); }
.bar i.over { background: var(--bad); }
small { color: var(--faint); }
figure { margin: 0; }
img { display: block; width: 100%; height: auto; background: #ffffff; border-radius: 6px; }
figcaption { color: var(--faint); font-size: 0.94rem; margin-top: 10px; }
details { margin-top: 10px; }
summary { cursor: pointer; color: var(--blue); font-weight: 600; padding: 4px 0; }
code { font: 0.92em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; background: var(--code);
  border-radius: 4px; padding: 1px 5px; overflow-wrap: anywhere; }
.wrap { overflow-wrap: anywhere; }
ul { margin: 0; padding-left: 20px; }
@media print { body { background: #ffffff; } section { break-inside: avoid; border: 0; padding: 8px 0; } }
</style>
</head>
<body>
<main>
@BODY@
</main>
</body>
</html>
"""

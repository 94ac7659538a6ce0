"""The dress of reports and documents: one style sheet, light and dark by the reader's wish, plain on paper."""

STYLE = """
:root { color-scheme: light dark; --page: #ffffff; --ink: #1c2529; --quiet: #5d6b72; --rule: #dde3e6; --soft: #f4f6f7;
  --main: #1f6f8b; --second: #b8651b; --good: #2b7a4b; --bad: #b3372f; }
@media (prefers-color-scheme: dark) { :root { --page: #14191c; --ink: #e3e8ea; --quiet: #95a3aa; --rule: #2c353a;
  --soft: #1b2226; --main: #5db2d0; --second: #e0994f; --good: #6cc28d; --bad: #f0837a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 0 1.5rem 3rem; max-width: 1160px; background: var(--page); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; }
header { padding: 2.2rem 0 1rem; border-bottom: 1px solid var(--rule); }
h1 { margin: 0; font-size: 1.75rem; line-height: 1.25; font-weight: 600; letter-spacing: -0.01em; }
h2 { margin: 2.4rem 0 0.8rem; font-size: 1.25rem; font-weight: 600; }
h3 { margin: 1.6rem 0 0.5rem; font-size: 1rem; font-weight: 600; }
p { margin: 0.4rem 0; max-width: 78ch; overflow-wrap: anywhere; }
.subtitle { color: var(--quiet); font-size: 1.05rem; margin-top: 0.2rem; }
.notice { display: inline-block; margin: 0 0 0.8rem; padding: 0.1rem 0.6rem; border: 1px solid var(--rule);
  border-radius: 1rem; color: var(--quiet); font-size: 0.85rem; }
nav { display: flex; flex-wrap: wrap; gap: 0.2rem 1.1rem; margin-top: 0.9rem; font-size: 0.9rem; }
nav a { color: var(--main); text-decoration: none; }
nav a:hover, nav a:focus-visible { text-decoration: underline; }
.quiet { color: var(--quiet); }
.good { color: var(--good); font-weight: 600; }
.bad { color: var(--bad); font-weight: 600; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 0.9rem 1.4rem; margin: 0.8rem 0;
  padding: 0.9rem 1.1rem; background: var(--soft); border-radius: 8px; }
dt { color: var(--quiet); font-size: 0.82rem; }
dd { margin: 0; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; margin: 0.7rem 0 0.3rem; }
table { border-collapse: collapse; width: 100%; font-size: 0.92rem; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--quiet); font-weight: 500; font-size: 0.82rem; vertical-align: bottom; }
th, td { padding: 0.42rem 1.4rem 0.42rem 0; border-bottom: 1px solid var(--rule); }
td { vertical-align: top; }
td small, dd small { color: var(--quiet); font-weight: 400; font-size: 0.82rem; display: block; }
th.number, td.number { text-align: right; padding-left: 0.6rem; }
table.narrow { width: auto; min-width: min(100%, 34rem); }
table.narrow td:nth-child(2):not(.number) { min-width: min(16rem, 30vw); }
td.number { white-space: nowrap; }
td.number.quiet { white-space: normal; min-width: 8rem; }
table.pairs td:first-child { width: 13rem; }
table.pairs td { overflow-wrap: anywhere; }
.caption { color: var(--quiet); font-size: 0.85rem; max-width: 90ch; margin: 0.2rem 0 1rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 1.4rem; margin: 1.1rem 0; }
figure { margin: 0; min-width: 0; }
figure.wide { grid-column: 1 / -1; overflow-x: auto; }
figure.wide svg { min-width: 640px; max-width: 900px; }
figure b { display: block; font-size: 0.9rem; margin-bottom: 0.35rem; }
figcaption { font-size: 0.85rem; color: var(--quiet); max-width: 380px; }
figure.wide figcaption { max-width: 900px; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(170px, 1fr)); gap: 1rem; margin: 0.8rem 0; }
.pictures img { width: 100%; display: block; border-radius: 4px; background: #000; }
.pictures figcaption { color: var(--quiet); margin-top: 0.3rem; overflow-wrap: anywhere; }
svg.plot { display: block; width: 100%; height: auto; }
svg.diagram { max-width: 380px; }
svg.matrix { max-width: 420px; }
svg text { fill: var(--ink); font-size: 11px; }
svg .tick, svg .label { fill: var(--quiet); }
svg .axis { font-size: 11.5px; }
svg .name, svg .strong { font-size: 12.5px; }
svg .strong { font-weight: 600; }
svg .middle { text-anchor: middle; }
svg .end { text-anchor: end; }
svg .grid { stroke: var(--rule); stroke-width: 1; }
svg .grid-cell { fill: var(--soft); }
svg .cell-text { text-anchor: middle; font-size: 14px; }
svg .cell-text.light { fill: var(--page); }
svg .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
svg .whisker { stroke-width: 1.6; }
svg .line.main, svg .whisker.main { stroke: var(--main); }
svg .line.second, svg .whisker.second { stroke: var(--second); }
svg .line.reference { stroke: var(--quiet); stroke-width: 1.2; stroke-dasharray: 4 4; }
svg .line.second { stroke-dasharray: 8 3; }
svg .band { stroke: none; fill-opacity: 0.16; }
svg .band.main { fill: var(--main); }
svg .bar.second { fill-opacity: 0.45; stroke: var(--second); stroke-width: 0.8; }
svg.matrix .bar.second { stroke: none; }
svg .dot.main, svg .bar.main { fill: var(--main); }
svg .dot.second, svg .bar.second { fill: var(--second); }
svg .bar.reference, svg .dot.reference { fill: var(--quiet); }
footer { margin-top: 3rem; padding-top: 0.8rem; border-top: 1px solid var(--rule); color: var(--quiet);
  font-size: 0.85rem; }
@media (max-width: 640px) { body { padding: 0 1rem 2rem; } h1 { font-size: 1.4rem; }
  dl { grid-template-columns: 1fr 1fr; } table.pairs td:first-child { width: 8rem; } }
@media print {
  :root { --page: #ffffff; --ink: #000000; --quiet: #444c50; --rule: #cfd6d9; --soft: #f4f6f7; --main: #1f6f8b;
    --second: #b8651b; --good: #2b7a4b; --bad: #b3372f; }
  @page { size: A4; margin: 16mm 14mm; }
  body { max-width: none; padding: 0; font-size: 10pt; } header { padding-top: 0; }
  figure, tr, dl { break-inside: avoid; } h2, h3 { break-after: avoid; } .scroll { overflow: visible; }
  .figures { grid-template-columns: repeat(3, 1fr); } .pictures { grid-template-columns: repeat(4, 1fr); }
  figure.wide svg { min-width: 0; } }
"""

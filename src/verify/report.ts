import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import type { Gpu } from '../gpu/index.ts';
import type { ArithmeticProbe } from '../gpu/runtime/probe.ts';
import type { Roof } from '../gpu/runtime/roof.ts';
import type { Row } from './run.ts';

/** Everything that one run of `subvocab verify` found; what `report.json` holds. */
export interface Report {
  readonly format: 'subvocab-report';
  readonly version: 1;
  readonly date: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly machine: {
    readonly os: string;
    readonly cpu: string;
    readonly cores: number;
    readonly memoryGiB: number;
  };
  readonly adapter: {
    readonly name: string;
    readonly vendor: string;
    readonly architecture: string;
    readonly description: string;
    readonly family: string;
    readonly software: boolean;
    readonly reason: string;
    readonly subgroupSizes: readonly [number, number];
    readonly maxBindingMiB: number;
  };
  readonly roof: Roof;
  readonly arithmetic: ArithmeticProbe;
  readonly rows: readonly Row[];
  readonly totals: { readonly passed: number; readonly suspect: number; readonly failed: number };
  readonly seconds: number;
}

/** What a report says about the machine and the adapter. */
export function describeRun(gpu: Gpu): Pick<Report, 'versions' | 'machine' | 'adapter'> {
  const [cpu] = cpus();
  return {
    versions: versions(),
    machine: {
      os: `${process.platform} ${release()} ${process.arch}`,
      cpu: cpu?.model ?? 'unknown',
      cores: cpus().length,
      memoryGiB: Math.round(totalmem() / 2 ** 30),
    },
    adapter: {
      name: gpu.choice.chosen.name,
      vendor: gpu.info.vendor,
      architecture: gpu.info.architecture,
      description: gpu.info.description,
      family: gpu.family,
      software: gpu.choice.chosen.software,
      reason: gpu.choice.reason,
      subgroupSizes: [gpu.info.subgroupMinSize ?? 0, gpu.info.subgroupMaxSize ?? 0],
      maxBindingMiB: Math.floor(gpu.maxBindingBytes / 2 ** 20),
    },
  };
}

/** Versions of this package, of Node and of Dawn's package. */
export function versions(): Record<string, string> {
  const read = (url: URL): string => JSON.parse(readFileSync(url, 'utf8')).version as string;
  return {
    subvocab: read(new URL('../../package.json', import.meta.url)),
    node: process.versions.node,
    // Dawn's package does not export its package.json; it lies beside the entry point.
    webgpu: read(new URL('./package.json', import.meta.resolve('webgpu'))),
  };
}

/** Share of the roof that a row reached, in percent, and which roof; undefined where a row declares no work. */
export function ofRoof(row: Row, roof: Roof): { percent: number; roof: 'copy' | 'fma' } | undefined {
  if (row.gflops !== undefined) return { percent: (100 * row.gflops) / roof.fmaGFlops, roof: 'fma' };
  if (row.gbs !== undefined) return { percent: (100 * row.gbs) / roof.copyGBs, roof: 'copy' };
  return undefined;
}

/** A page that needs nothing but itself: the adapter, the table, one plot of achieved against roof, and the data. */
export async function reportHtml(report: Report, section = ''): Promise<string> {
  const { adapter, machine, roof, rows, totals } = report;
  const facts: [string, string][] = [
    ['Adapter', `${adapter.name} (${adapter.description})`],
    ['Chosen because', adapter.reason],
    ['Kernel family', `${adapter.family}, subgroups of ${[...new Set(adapter.subgroupSizes)].join(' to ')}`],
    [
      'Roof, measured in this run',
      `${roof.copyGBs.toFixed(1)} GB/s copy, ${roof.fmaGFlops.toFixed(1)} GFLOP/s multiply-add`,
    ],
    ['Machine', `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.os}`],
    [
      'Versions',
      Object.entries(report.versions)
        .map(([k, v]) => `${k} ${v}`)
        .join(', '),
    ],
    ['Date', report.date],
  ];
  const heads = [
    'operator',
    'case',
    'shape',
    'dtype',
    'verdict',
    'worst / bound',
    'where',
    'reference ms',
    'GPU ms',
    'achieved',
    'of roof',
  ];
  const body = rows.map((row) => {
    const share = ofRoof(row, roof);
    const cells = [
      row.op,
      row.label,
      row.shape,
      row.dtype,
      row.verdict,
      row.worst === null ? '' : row.worst.toPrecision(2),
      row.where,
      ms(row.refMs),
      row.gpuMs === null ? '' : ms(row.gpuMs),
      achieved(row),
      share === undefined ? '' : `${share.percent.toFixed(0)} %`,
    ];
    const title = row.verdict === 'PASS' ? '' : ` title="${escapeHtml(row.message)}"`;
    return `<tr class="${row.verdict}"${title}>${cells.map((c) => `<td>${escapeHtml(c)}</td>`).join('')}</tr>`;
  });
  const bad = rows.filter((r) => r.verdict !== 'PASS');
  const list = bad
    .map((r) => `<li><b>${r.verdict}</b> ${escapeHtml(`${r.op}, ${r.label}: ${r.message}`)}</li>`)
    .join('');
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>subvocab verify: ${escapeHtml(adapter.name)}</title>
<style>
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif }
body { max-width: 1180px; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100%; font-size: 13px }
td, th { padding: 3px 8px; border-bottom: 1px solid #8884; text-align: left }
td:nth-child(n+8), th:nth-child(n+8), td:nth-child(6) { text-align: right; font-variant-numeric: tabular-nums }
tr.PASS td:nth-child(5) { color: #2a8a3e } tr.SUSPECT td:nth-child(5) { color: #b07d00 } tr.FAIL td:nth-child(5) { color: #d1242f; font-weight: bold }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 1.2em } dt { opacity: .7 } dd { margin: 0 }
figure { margin: 1.5rem 0; background: #fff; color: #000; padding: 8px; overflow-x: auto } .scroll { overflow-x: auto }
</style></head><body>
<h1>${totals.failed === 0 ? 'The twins agree' : 'The twins do not agree'}</h1>
<p>${totals.passed} passed, ${totals.suspect} suspect, ${totals.failed} failed, in ${report.seconds.toFixed(0)} s.
Each operator ran as a plain reference and as a WebGPU kernel on this adapter; results were compared bit for bit, or within
the error bound that follows from the data.</p>
${list ? `<ul>${list}</ul>` : ''}
<dl>${facts.map(([k, v]) => `<dt>${k}</dt><dd>${escapeHtml(v)}</dd>`).join('')}</dl>
<figure>${await roofPlot(report)}<figcaption>Achieved share of the roof measured in the same run.</figcaption></figure>
<div class="scroll"><table><thead><tr>${heads.map((h) => `<th>${h}</th>`).join('')}</tr></thead><tbody>${body.join('\n')}</tbody></table></div>
${section}
<script type="application/json" id="report">${JSON.stringify(report).replaceAll('<', '\\u003c')}</script>
</body></html>
`;
}

/** Horizontal bars, one per case that declares its work, drawn by Vega without a DOM. */
export async function roofPlot(report: Report): Promise<string> {
  const [vega, lite] = await Promise.all([import('vega'), import('vega-lite')]);
  const values = report.rows.flatMap((row) => {
    const share = ofRoof(row, report.roof);
    if (share === undefined) return [];
    const roof = share.roof === 'copy' ? 'of copy bandwidth' : 'of multiply-add peak';
    return [
      {
        name: `${row.op} ${row.shape}`,
        percent: Math.round(share.percent * 10) / 10,
        roof,
        achieved: achieved(row),
      },
    ];
  });
  const y = { field: 'name', type: 'nominal' as const, sort: null, title: null, axis: { labelLimit: 360 } };
  const { spec } = lite.compile({
    width: 560,
    data: { values },
    layer: [
      {
        mark: 'bar',
        encoding: {
          x: { field: 'percent', type: 'quantitative', title: '% of the roof' },
          y,
          color: { field: 'roof', type: 'nominal', title: null, scale: { range: ['#4c78a8', '#f58518'] } },
        },
      },
      {
        mark: { type: 'text', align: 'left', dx: 4 },
        encoding: { x: { field: 'percent', type: 'quantitative' }, y, text: { field: 'achieved' } },
      },
      { mark: { type: 'rule', strokeDash: [4, 3] }, encoding: { x: { datum: 100 } } },
    ],
  });
  return new vega.View(vega.parse(spec), { renderer: 'none' }).toSVG();
}

/** `12.3 GB/s` or `4.5 GFLOP/s`. */
export function achieved(row: Row): string {
  if (row.gflops !== undefined) return `${row.gflops.toPrecision(3)} GFLOP/s`;
  return row.gbs === undefined ? '' : `${row.gbs.toPrecision(3)} GB/s`;
}

/** Milliseconds with three digits. */
export function ms(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

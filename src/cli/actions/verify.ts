import { checkOutputs, writeFiles } from '../../core/formats/files.ts';
import { openGpu } from '../../gpu/index.ts';
import { probeArithmetic } from '../../gpu/runtime/probe.ts';
import { measureRoof } from '../../gpu/runtime/roof.ts';
import { cases } from '../../verify/index.ts';
import { achieved, describeRun, ms, ofRoof, type Report, reportHtml, roofPlot } from '../../verify/report.ts';
import { type Row, runCase } from '../../verify/run.ts';
import { exitCode, print, progress, say } from '../frame.ts';
import { contractOf } from '../names.ts';
import { type DemoFigures, demoSections, tellDemo } from './demoTextReport.ts';
import { type DemoSettings, prepareDemo, runDemo } from './subVocabDemo.ts';
import { readText } from './texts.ts';

export interface VerifyOptions {
  readonly adapter?: string;
  readonly json?: boolean;
  readonly html?: string;
  readonly report?: string;
  readonly plot?: string;
  readonly text?: readonly string[];
}

/** What verify writes: the comparison of the twins, and with --text the figures of SUBVOCAB. */
interface FullReport extends Report {
  readonly demo?: DemoFigures;
}

/** A demo that fits beside the comparison of all operators. */
const demoSettings: DemoSettings = {
  k: 256,
  words: 20_000,
  steps: 1000,
  seconds: 15,
  batch: 8,
  width: 32,
  layers: 1,
  seed: 0,
};

/** Run every operator on both twins on this machine's adapter, compare, and show how fast it was. */
export async function verify(ops: readonly string[], options: VerifyOptions): Promise<void> {
  for (const op of ops) contractOf('verify', op);
  const outputs = [options.report, options.html, options.plot].filter((path) => path !== undefined);
  // Minutes of work must not end at a folder that is not there.
  checkOutputs('verify', outputs);
  const texts = options.text?.map((file) => ({ file, text: readText('verify', file).text }));
  const prepared = texts && prepareDemo('verify', texts, demoSettings);
  // A forward operator's name also stands for its backward operator.
  const chosen = cases.filter(
    (c) => ops.length === 0 || ops.some((op) => c.op === op || c.op === `${op}Backward`),
  );
  const line = progress();
  const started = performance.now();
  line.show('opening the GPU');
  await using gpu = await openGpu(options.adapter === undefined ? {} : { adapter: options.adapter });
  if (!options.json) say(`${gpu.choice.chosen.name}: ${gpu.choice.reason}`);
  line.show('measuring what the adapter can do');
  const roof = await measureRoof(gpu);
  const arithmetic = await probeArithmetic(gpu);
  const rows: Row[] = [];
  for (const [i, c] of chosen.entries()) {
    line.show(`${i + 1} of ${chosen.length}: ${c.op} ${c.shape}`);
    rows.push(await runCase(gpu, c, arithmetic.roundsToNearest));
  }
  const demo =
    prepared &&
    (await runDemo(gpu, prepared, demoSettings, {
      step: ({ loss }, done, seconds) =>
        line.show(`SUBVOCAB on text: step ${done}  loss ${loss.toFixed(3)}  ${seconds.toFixed(0)} s left`),
    }));
  line.clear();
  const count = (v: Row['verdict']): number => rows.filter((r) => r.verdict === v).length;
  const report: FullReport = {
    format: 'subvocab-report',
    version: 1,
    date: new Date().toISOString(),
    ...describeRun(gpu),
    roof,
    arithmetic,
    rows,
    ...(demo?.figures === undefined ? {} : { demo: demo.figures }),
    totals: { passed: count('PASS'), suspect: count('SUSPECT'), failed: count('FAIL') },
    seconds: (performance.now() - started) / 1000,
  };
  const files = [];
  if (options.report !== undefined)
    files.push({ path: options.report, chunks: [`${JSON.stringify(report, null, 1)}\n`] });
  if (options.html !== undefined)
    files.push({
      path: options.html,
      chunks: [await reportHtml(report, demo?.figures && (await demoSections(demo.figures)))],
    });
  if (options.plot !== undefined) files.push({ path: options.plot, chunks: [await roofPlot(report)] });
  print(options.json ? JSON.stringify(report) : table(report));
  await writeFiles('verify', files);
  for (const path of outputs) say(`wrote ${path}`);
  if (report.totals.failed > 0) process.exitCode = exitCode.failed;
}

/** The table for a terminal, and what is behind each row that did not pass. */
function table({ rows, roof, totals, seconds, demo }: FullReport): string {
  const head = [
    'operator',
    'case',
    'shape',
    'dtype',
    'verdict',
    'worst',
    'where',
    'ref ms',
    'GPU ms',
    'achieved',
    'of roof',
  ];
  const body = rows.map((row) => {
    const share = ofRoof(row, roof);
    return [
      row.op,
      row.label,
      row.shape,
      row.dtype,
      row.verdict,
      row.worst === null ? '-' : row.worst === 0 ? 'exact' : row.worst.toPrecision(2),
      row.where,
      ms(row.refMs),
      row.gpuMs === null ? '-' : ms(row.gpuMs),
      achieved(row),
      share === undefined ? '' : `${share.percent.toFixed(0)} % ${share.roof}`,
    ];
  });
  const widths = head.map((h, i) => Math.max(h.length, ...body.map((r) => r[i]!.length)));
  const right = new Set([5, 7, 8, 9]);
  const show = (cells: readonly string[]): string =>
    cells
      .map((c, i) => (right.has(i) ? c.padStart(widths[i]!) : c.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd();
  const bad = rows
    .filter((r) => r.verdict !== 'PASS')
    .map((r) => `${r.verdict} ${r.op}, ${r.label}: ${r.message}`);
  const copies = [...new Set(rows.filter((r) => r.clock === 'host').map((r) => r.op))].join(', ');
  const clock = rows.every((r) => r.clock === 'host')
    ? ' (no GPU clock: times are from submission to completion)'
    : copies === ''
      ? ''
      : ` (${copies}: no kernel that the GPU's clock could time, so from submission to completion)`;
  return [
    show(head),
    ...body.map(show),
    '',
    ...bad,
    `worst: error in units of its bound. Roof of this run: copy ${roof.copyGBs.toFixed(1)} GB/s, multiply-add ${roof.fmaGFlops.toFixed(1)} GFLOP/s${clock}`,
    ...(demo === undefined ? [] : ['', `SUBVOCAB on text, ${demo.steps.length} steps`, tellDemo(demo), '']),
    `${totals.passed} passed, ${totals.suspect} suspect, ${totals.failed} failed in ${seconds.toFixed(1)} s`,
  ].join('\n');
}

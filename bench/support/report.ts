import type { Calibration, Machine } from './machine.ts';
import { type Entry, type Row, titleOf } from './run.ts';

/** One results file: one adapter on one day. Rows of later runs of that day take the place of earlier ones. */
export interface Report {
  readonly format: 1;
  readonly command: string;
  readonly machine: Machine;
  readonly calibration: readonly Calibration[];
  readonly peersNotLoaded: readonly string[];
  readonly rows: readonly Row[];
  /** Figures of other programs, given with --context. */
  readonly context: readonly ContextFile[];
}

/** What the scripts in bench/context print. */
export interface ContextFile {
  readonly program: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly threads: number;
  readonly rows: readonly {
    readonly op: string;
    readonly shape: string;
    readonly ms: number;
    readonly cpuMs?: number;
    readonly about?: string;
  }[];
}

/** The report for people. */
export function markdown(r: Report): string {
  const { machine: m, rows } = r;
  const out: string[] = [];
  out.push(`# ${m.adapter?.name ?? `references on the CPU (${m.cpu})`}, ${m.date.slice(0, 10)}`, '');
  out.push(`    ${r.command}`, '');
  out.push(...facts(r), '');
  out.push('## Summary', '', ...summary(rows), '');
  for (const row of rows) out.push(...details(row, r), '');
  for (const c of r.context) out.push(...contextTable(c), '');
  return `${out.join('\n').trimEnd()}\n`;
}

function facts({ machine: m, calibration, peersNotLoaded }: Report): string[] {
  const out = [`* Node ${m.node}, ${m.cores} x ${m.cpu}, ${m.memoryGiB} GiB`];
  const { adapter: a, roof } = m;
  if (a !== undefined) {
    out.push(
      `* ${a.backend}, ${a.description || a.device}, kernels of the family \`${a.family}\`, subgroups ${a.subgroups}, ` +
        `${a.maxBindingMiB} MiB per binding, webgpu ${a.webgpu}`,
    );
    const arithmetic = Object.entries(a.arithmetic).map(([q, answer]) => `${q}: ${answer}`);
    out.push(`* arithmetic: ${arithmetic.join('; ')}`);
    const step = m.timestampQuantumNs;
    out.push(`* step of the GPU's clock: ${step === null || step === undefined ? 'no clock' : `${step} ns`}`);
  }
  if (roof !== undefined) {
    out.push(
      `* roof: copy ${roof.copyGBs.toFixed(1)} GB/s (by a kernel ${roof.copyKernelGBs.toFixed(1)}), multiply-add ` +
        `${roof.fmaGFlops.toFixed(1)} GFLOP/s, a dispatch ${roof.dispatchUs.toFixed(0)} us, alone ` +
        `${roof.submitUs.toFixed(0)} us (${roof.note})`,
    );
  }
  for (const [i, c] of calibration.entries()) {
    out.push(
      `* calibration ${i === 0 ? 'before' : 'after'}: ${c.one} loops on one thread, ${c.two} on two ` +
        `(${(c.two / c.one).toFixed(2)} x), load ${c.load.toFixed(1)}`,
    );
  }
  for (const p of peersNotLoaded) out.push(`* not loaded: ${p}`);
  return out;
}

function summary(rows: readonly Row[]): string[] {
  const out = [
    '| operator | shape | ours ms | of roof | naive | fastest peer | as fast as it [95 %] | by CPU time | wanted | predicted |',
    '|---|---|---|---|---|---|---|---|---|---|',
  ];
  for (const row of rows) {
    const mine = row.entries.find((e) => e.role === 'ours' || e.role === 'reference');
    const v = row.versusPeer;
    const held = v === undefined ? '' : v.ratio >= row.target ? 'yes' : 'NO';
    out.push(
      `| ${[
        row.op + (row.label ? `, ${row.label}` : ''),
        row.shape,
        mine?.wall === undefined ? (mine?.status ?? '') : `${ms(mine.wall.median)}${verdictMark(mine)}`,
        shareOf(row, mine),
        row.versusNaive === undefined ? '' : `${row.versusNaive.ratio.toFixed(2)} x`,
        v?.name ?? 'none valid',
        v === undefined
          ? ''
          : `${v.extrapolated ? 'about ' : ''}${v.ratio.toFixed(2)} x [${v.ci.map((x) => x.toFixed(2)).join(', ')}]`,
        v?.cpuRatio === undefined ? '' : `${v.cpuRatio.toFixed(2)} x`,
        v === undefined ? `>= ${row.target} x` : `>= ${row.target} x: ${held}`,
        row.prediction === undefined ? '' : `${row.prediction.ratio} x`,
      ].join(' | ')} |`,
    );
  }
  return out;
}

function details(row: Row, r: Report): string[] {
  const out = [`## ${row.op}${row.label ? `, ${row.label}` : ''}, ${row.shape}`, ''];
  const needs: string[] = [];
  if (row.bytes !== undefined) needs.push(`${(row.bytes / 1e6).toFixed(1)} MB to move at least`);
  if (row.flops !== undefined) needs.push(`${(row.flops / 1e9).toFixed(2)} GFLOP`);
  if (row.roofMs !== undefined) {
    const byKernel =
      row.kernelRoofMs === row.roofMs
        ? ''
        : `, at the speed of the fastest copy kernel ${ms(row.kernelRoofMs!)}`;
    needs.push(`the roof allows ${ms(row.roofMs)} ms${byKernel}`);
  }
  if (needs.length > 0) out.push(`${capital(needs.join(', '))}.`);
  if (row.prediction !== undefined) {
    const v = row.versusPeer;
    const how = v?.extrapolated ? ', from a part of the work' : '';
    const came = v === undefined ? 'no valid peer' : `${v.ratio.toFixed(2)} x${how}`;
    out.push(
      `Predicted ${row.prediction.ratio} x the fastest peer (${row.prediction.why}); it came to ${came}.`,
    );
  }
  out.push(
    `Reference: ${ms(row.refMs)} ms once${row.sampled ? ', on a sample of the rows, which the results are judged by' : ''}.`,
    '',
    '| who | median ms | quartiles | 95 % | n | CPU ms | GPU ms | rate | first ms | right before, after |',
    '|---|---|---|---|---|---|---|---|---|---|',
  );
  for (const e of row.entries.filter((e) => e.status !== 'unsupported')) {
    const who = `${titleOf(e)}${e.version ? ` ${e.version}` : ''}`;
    if (e.wall === undefined) {
      out.push(`| ${who} | ${e.status} | | | | | | | | ${cell(e.reason ?? '')} |`);
      continue;
    }
    out.push(
      `| ${[
        who,
        ms(e.wall.median),
        `${ms(e.wall.q1)} to ${ms(e.wall.q3)}`,
        e.wall.ci.map(ms).join(' to '),
        `${e.wall.n}${e.disturbed ? ` (${e.disturbed} dropped)` : ''}`,
        e.cpu === undefined ? '' : ms(e.cpu.median),
        e.gpu === undefined ? '' : ms(e.gpu.median),
        rateOf(row, e),
        e.firstMs === undefined ? '' : ms(e.firstMs),
        `${e.before?.verdict}, ${e.after?.verdict}${e.reason ? `: ${cell(e.reason)}` : ''}`,
      ].join(' | ')} |`,
    );
  }
  for (const e of row.entries) {
    for (const [name, v] of Object.entries(e.quality ?? {}))
      out.push('', `${titleOf(e)}: ${name} ${v.toFixed(4)}.`);
  }
  const left = row.entries.filter((e) => e.status === 'unsupported');
  for (const reason of new Set(left.map((e) => e.reason))) {
    out.push(
      '',
      `${left
        .filter((e) => e.reason === reason)
        .map(titleOf)
        .join(', ')}: ${reason}.`,
    );
  }
  const notes = row.entries.flatMap((e) => (e.note === undefined ? [] : [`${titleOf(e)}: ${e.note}`]));
  if (notes.length > 0) out.push('', ...notes.map((n) => `* ${n}`));
  for (const c of r.context) {
    for (const x of c.rows.filter((x) => x.op === row.op && x.shape === row.shape)) {
      out.push(
        '',
        `* ${c.program}, ${c.threads} threads: ${ms(x.ms)} ms${x.cpuMs === undefined ? '' : `, ${ms(x.cpuMs)} ms of CPU time`}${x.about ? ` (${x.about})` : ''}`,
      );
    }
  }
  return out;
}

function contextTable(c: ContextFile): string[] {
  const versions = Object.entries(c.versions).map(([k, v]) => `${k} ${v}`);
  return [
    `## Other programs: ${c.program} (${versions.join(', ')}), ${c.threads} threads`,
    '',
    '| operator | shape | ms | CPU ms | |',
    '|---|---|---|---|---|',
    ...c.rows.map((x) => {
      const cpu = x.cpuMs === undefined ? '' : ms(x.cpuMs);
      return `| ${x.op} | ${x.shape} | ${ms(x.ms)} | ${cpu} | ${x.about ?? ''} |`;
    }),
  ];
}

/** The best clock there is for ours: the GPU's, else the host's. */
function timeOf(e: Entry): number | undefined {
  return e.gpu?.median ?? e.wall?.median;
}

function shareOf(row: Row, e: Entry | undefined): string {
  const t = e === undefined ? undefined : timeOf(e);
  if (t === undefined || row.roofMs === undefined || row.roofMs === 0) return '';
  const share = (row.roofMs / t) * 100;
  return `${share.toPrecision(2)} %${share > 100 ? ' (in a cache)' : ''}`;
}

function rateOf(row: Row, e: Entry): string {
  const t = timeOf(e);
  if (t === undefined) return '';
  const rates: string[] = [];
  if (row.flops !== undefined) rates.push(`${(row.flops / t / 1e6).toPrecision(3)} GFLOP/s`);
  if (row.bytes !== undefined) rates.push(`${(row.bytes / t / 1e6).toPrecision(3)} GB/s`);
  return rates.join(', ');
}

const verdictMark = (e: Entry): string => (e.status === 'ok' ? '' : ` (${e.status})`);
const cell = (s: string): string => s.replaceAll('|', '\\|');
const capital = (s: string): string => s.charAt(0).toUpperCase() + s.slice(1);
const ms = (v: number): string => (v >= 100 ? v.toFixed(0) : v.toPrecision(3));

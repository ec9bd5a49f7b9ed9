import { checkOutputs, writeFiles } from '../../core/formats/files.ts';
import { boundaryCurve, type CurvePoint } from '../../models/boundary/curve.ts';
import { refBackend } from '../../ref/backend.ts';
import { print, progress, say } from '../frame.ts';
import { type TwinOptions, withBackend } from './backends.ts';
import { readText } from './texts.ts';

const command = 'boundary';

/** `subvocab boundary`: see its help. */
export async function boundary(
  options: TwinOptions & {
    readonly text: readonly string[];
    readonly vocabulary?: readonly number[];
    readonly steps: number;
    readonly width: number;
    readonly layers: number;
    readonly cuts: number;
    readonly seed: number;
    readonly out: string;
    readonly json?: boolean;
  },
): Promise<void> {
  checkOutputs(command, [options.out]);
  const text = options.text.map((path) => readText(command, path).text).join('\n');
  const { steps, width, layers, cuts, seed } = options;
  const settings = {
    ...{ sizes: options.vocabulary ?? [300, 600, 1200, 2400], steps, width, layers, cuts, seed },
    ...{ batch: 8, length: 32, lr: 0.003, window: 6, theta: 0.3 },
  };
  const line = progress();
  const points: CurvePoint[] = [];
  await withBackend(command, options, async (backend) => {
    const what = (text: string): void => line.show(text);
    for await (const point of boundaryCurve(backend, refBackend, text, settings, what)) {
      line.clear();
      points.push(point);
      print(options.json ? JSON.stringify(point) : describePoint(point));
    }
  });
  line.clear();
  await writeFiles(command, [{ path: options.out, chunks: [await page(points, cuts)] }]);
  say(`wrote ${options.out}`);
}

function describePoint({ vocabulary, rung, bits, excess, standardError, taken, places }: CurvePoint): string {
  return `${String(vocabulary).padStart(7)}  ${rung.padEnd(10)}  ${bits.toFixed(3)} bits  excess ${excess.toFixed(3)} ± ${standardError.toFixed(3)}  ${taken.toFixed(2)} tokens back  ${places.toFixed(1)} calls`;
}

/** The curve and its numbers as a page that needs nothing but itself. */
async function page(points: readonly CurvePoint[], cuts: number): Promise<string> {
  const [vega, lite] = await Promise.all([import('vega'), import('vega-lite')]);
  const { spec } = lite.compile({
    width: 640,
    height: 320,
    data: { values: [...points] },
    mark: { type: 'line', point: true, strokeWidth: 1.5 },
    encoding: {
      x: { field: 'vocabulary', type: 'quantitative', scale: { type: 'log' } },
      y: { field: 'excess', type: 'quantitative', title: 'excess bits for the byte after the cut' },
      color: { field: 'rung', type: 'nominal' },
    },
  });
  const svg = await new vega.View(vega.parse(spec), { renderer: 'none' }).toSVG();
  const rows = points.map(
    (p) =>
      `<tr><td>${p.vocabulary}</td><td>${p.rung}</td><td>${p.bits.toFixed(3)}</td><td>${p.exactBits.toFixed(3)}</td><td>${p.excess.toFixed(3)} ± ${p.standardError.toFixed(3)}</td><td>${p.taken.toFixed(2)}</td><td>${p.places.toFixed(1)}</td><td>${p.bytesPerToken.toFixed(2)}</td></tr>`,
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>subvocab boundary</title>
<style>body { font: 15px/1.45 system-ui, sans-serif; max-width: 820px; margin: 2rem auto; padding: 0 1rem } td, th { padding: 0 .8rem; text-align: right }</style></head><body>
<h1>What a cut token costs</h1>
<p>Mean bits for the byte after ${cuts} random cuts of held-out text, beyond what the model itself needs when all ways to
spell the last bytes are summed (the oracle).</p>
${svg}
<table><tr><th>vocabulary</th><th>rung</th><th>bits</th><th>oracle</th><th>excess</th><th>tokens back</th><th>calls</th><th>bytes per token</th></tr>
${rows.join('\n')}
</table>
</body></html>
`;
}

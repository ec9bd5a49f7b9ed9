import { chart, page } from './figures.ts';

/** One line of metrics.jsonl. */
export interface Metric {
  readonly step: number;
  /** Mean cross entropy in nats per token. */
  readonly loss: number;
  readonly bitsPerByte: number;
}

/** The loss over the steps as an SVG, and as a page that needs nothing but itself. */
export async function lossCurve(metrics: readonly Metric[]): Promise<{ svg: string; html: string }> {
  // At most some 600 points: the mean of neighbours beyond that.
  const size = Math.ceil(metrics.length / 600);
  const values = [];
  for (let i = 0; i < metrics.length; i += size) {
    const part = metrics.slice(i, i + size);
    const mean = part.reduce((sum, m) => sum + m.bitsPerByte, 0) / part.length;
    values.push({ step: part.at(-1)!.step, bitsPerByte: mean });
  }
  const svg = await chart({
    width: 640,
    height: 300,
    data: { values },
    mark: { type: 'line', strokeWidth: 1.5 },
    encoding: {
      x: { field: 'step', type: 'quantitative' },
      y: { field: 'bitsPerByte', type: 'quantitative', title: 'bits per byte', scale: { zero: false } },
    },
  });
  const data = JSON.stringify(metrics).replaceAll('<', '\\u003c');
  const last = metrics.at(-1)!;
  const html = page(
    'subvocab samout train',
    `<h1>Training loss</h1>
<p>Step ${last.step}: loss ${last.loss.toFixed(4)} nats per token, ${last.bitsPerByte.toFixed(3)} bits per byte.</p>
${svg}
<script type="application/json" id="metrics">${data}</script>`,
  );
  return { svg, html };
}

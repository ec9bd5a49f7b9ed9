// Draws the results of bench/ann/main.ts: node bench/ann/draw.ts RESULTS.json PICTURE.svg
import { readFileSync, writeFileSync } from 'node:fs';
import { parse, View } from 'vega';
import { compile } from 'vega-lite';

const [, , results = '', picture = ''] = process.argv;
const { rows, words, dimensions, lists, k } = JSON.parse(readFileSync(results, 'utf8'));
const points = rows.map((row: { name: string; setting: number | null }) => ({
  ...row,
  label: row.setting === null ? 'flat' : String(row.setting),
}));
const { spec } = compile({
  background: 'white',
  title: `${k} of ${words} x ${dimensions}, ${lists} lists, one query at a time`,
  width: 560,
  height: 380,
  data: { values: points },
  encoding: {
    x: { field: 'recall', type: 'quantitative', title: `recall@${k}`, scale: { domain: [0.1, 1] } },
    y: { field: 'ms', type: 'quantitative', title: 'ms per query (median)', scale: { type: 'log' } },
    color: { field: 'name', type: 'nominal', title: null, scale: { scheme: 'tableau10' } },
  },
  layer: [
    { mark: { type: 'line', strokeWidth: 1.5 } },
    { mark: { type: 'point', filled: true, size: 40 } },
    { mark: { type: 'text', dy: -8, fontSize: 9 }, encoding: { text: { field: 'label' } } },
  ],
} as never);
const view = new View(parse(spec), { renderer: 'none' });
writeFileSync(picture, `${await view.toSVG()}\n`);

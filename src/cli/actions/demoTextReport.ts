import type { StepReport } from '../../models/subVocab/trainer.ts';
import { chart, escapeHtml, page } from './figures.ts';

/** The sets of words that are compared: drawn for the text, the most frequent ones, all. */
export type Kind = 'dynamic' | 'static' | 'full';

/** What one split gave. */
export interface SplitFigures {
  readonly name: string;
  readonly predictions: number;
  /** Share of the targets that are in the sub-vocabulary. */
  readonly coverage: { readonly dynamic: number; readonly static: number };
  /** A share goes to what the text has said, fitted for each kind on other held-out text. */
  readonly bitsPerByte: Readonly<Record<Kind, number>>;
  /** The same without that share. */
  readonly withoutCache: Readonly<Record<Kind, number>>;
  /** Coverage by the number of words, exact. */
  readonly curve: readonly { readonly k: number; readonly dynamic: number; readonly static: number }[];
}

/** Everything that `demo text` found. */
export interface DemoFigures {
  readonly files: readonly string[];
  readonly words: number;
  readonly k: number;
  readonly trainedOn: number;
  readonly steps: readonly StepReport[];
  readonly splits: readonly SplitFigures[];
  readonly sentence: {
    readonly context: string;
    readonly words: readonly { readonly text: string; readonly score: number }[];
    readonly following?: readonly { readonly text: string; readonly drawn: boolean }[];
  };
}

/** The report as one page that needs nothing but itself. */
export async function demoReport(figures: DemoFigures): Promise<string> {
  return page('subvocab demo text', await demoSections(figures));
}

/** The body of the report, which other pages can hold too. */
export async function demoSections(figures: DemoFigures): Promise<string> {
  const { splits, steps, words, k, trainedOn, sentence } = figures;
  const size = { width: 620, height: 220 };
  const training = await chart({
    ...size,
    data: {
      values: steps.flatMap(({ recall, candidateRecall, staleRecall }, i) => [
        { step: i + 1, share: recall, of: 'targets drawn' },
        { step: i + 1, share: candidateRecall, of: 'targets among the candidates' },
        ...(staleRecall === undefined
          ? []
          : [{ step: i + 1, share: staleRecall, of: 'recall of the stale index' }]),
      ]),
    },
    mark: { type: 'line', strokeWidth: 1.2, point: { size: 8 } },
    encoding: {
      x: { field: 'step', type: 'quantitative' },
      y: { field: 'share', type: 'quantitative', scale: { domain: [0, 1] } },
      color: { field: 'of', type: 'nominal', title: null },
    },
  });
  const loss = await chart({
    ...size,
    data: { values: steps.map((s, i) => ({ step: i + 1, loss: s.loss })) },
    mark: { type: 'line', strokeWidth: 1.2 },
    encoding: {
      x: { field: 'step', type: 'quantitative' },
      y: { field: 'loss', type: 'quantitative', title: 'nats per word', scale: { zero: false } },
    },
  });
  const coverage = await chart({
    ...size,
    data: {
      values: splits.flatMap(({ name, curve }) =>
        curve.flatMap((point) => [
          { k: point.k, share: point.dynamic, set: 'dynamic', split: name },
          { k: point.k, share: point.static, set: 'most frequent', split: name },
        ]),
      ),
    },
    mark: { type: 'line', point: true },
    encoding: {
      x: { field: 'k', type: 'quantitative', scale: { type: 'log', base: 2 }, title: 'words' },
      y: { field: 'share', type: 'quantitative', title: 'targets covered', scale: { domain: [0, 1] } },
      color: { field: 'set', type: 'nominal', title: null },
      strokeDash: { field: 'split', type: 'nominal', title: null },
    },
  });
  const row = (cells: readonly string[]): string =>
    `<tr>${cells.map((c, i) => `<td${i > 0 ? ' class="n"' : ''}>${c}</td>`).join('')}</tr>`;
  const table = splits.map(({ name, predictions, coverage: c, bitsPerByte: b }) =>
    row([
      name,
      String(predictions),
      ...[c.dynamic, c.static].map((v) => `${(100 * v).toFixed(1)} %`),
      ...[b.dynamic, b.static, b.full].map((v) => v.toFixed(3)),
    ]),
  );
  const largest = sentence.words[0]?.score ?? 0;
  const cloud = sentence.words.map(({ text, score }) => {
    const scale = 0.75 + 0.75 * Math.exp((score - largest) / 2);
    return `<span style="font-size:${scale.toFixed(2)}rem" title="${score.toFixed(2)}">${escapeHtml(JSON.stringify(text))}<sub>${score.toFixed(1)}</sub></span>`;
  });
  const following = sentence.following?.map(({ text, drawn }) =>
    drawn ? `<b>${escapeHtml(text)}</b>` : `<s>${escapeHtml(text)}</s>`,
  );
  const data = JSON.stringify(figures).replaceAll('<', '\\u003c');
  return `<h1>SUBVOCAB on text</h1>
<p>${words} words and phrases of up to five words, ${trainedOn} of them to train on, ${steps.length} steps; ${k} words per sub-vocabulary.</p>
<h2>Held-out text</h2>
<table><tr><th>split</th><th class="n">targets</th><th class="n">covered, dynamic</th><th class="n">most frequent</th><th class="n">bits/byte, dynamic</th><th class="n">most frequent</th><th class="n">all words</th></tr>
${table.join('\n')}</table>
<p>Dynamic: the words of the text before, then those that the query scores highest, ${k} in all. Most frequent: the ${k} words that training text has most. Both give a share
of the probability, as large as what they miss on other held-out text, to all words outside alike; and each of the three gives a share, fitted
on that text, to those of its words that the text before has said.</p>
${coverage}
<h2>A sample</h2>
<p>After <i>${escapeHtml(sentence.context)}</i> the sampler draws, best first, with their scores:</p>
<p class="cloud">${cloud.join(' ')}</p>
${following === undefined ? '' : `<p>What follows there, drawn in bold, missed struck out: ${following.join(' ')}</p>`}
<h2>Training</h2>
${loss}
${training}
<script type="application/json" id="figures">${data}</script>`;
}

/** The figures for a terminal. */
export function tellDemo({ splits, k, sentence }: DemoFigures): string {
  const percent = (v: number): string => `${(100 * v).toFixed(1)} %`.padStart(8);
  const rows = splits.map(({ name, coverage, bitsPerByte: b }) => {
    const bits = [b.dynamic, b.static, b.full].map((v) => v.toFixed(3).padStart(6)).join('  ');
    return `${name.padEnd(16)}  ${percent(coverage.dynamic)} ${percent(coverage.static)}    ${bits}`;
  });
  return [
    `${'split'.padEnd(16)}  targets covered        bits per byte`,
    `${''.padEnd(16)}  dynamic    static    dynamic  static   full    (${k} words; full: all)`,
    ...rows,
    `after ${JSON.stringify(sentence.context)}:`,
    sentence.words
      .slice(0, 24)
      .map(({ text, score }) => `${JSON.stringify(text)} ${score.toFixed(1)}`)
      .join('  '),
  ].join('\n');
}

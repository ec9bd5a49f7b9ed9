/**
 * Where a row of the toy of docs/zett.md comes from: FVT and lexical copy differ in the tokens that the source does not have. Here
 * these tokens take their input row, their output row where the text has the token, and their output row where it has not, from the one or
 * the other, in all eight ways.
 *
 *     node bench/zettRow.ts --model body --tokenizer tcode.json --text ptest.txt [--seeds 3] [--out FILE]
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { readModel } from '../src/cli/actions/samoutFolder.ts';
import { readText, readTokenizer } from '../src/cli/actions/texts.ts';
import { type Tensor, tensor } from '../src/core/tensor.ts';
import { openGpu } from '../src/gpu/index.ts';
import { sequenceNats } from '../src/models/samOut/evaluate.ts';
import { SamOut } from '../src/models/samOut/model.ts';
import { measured, transfer } from '../src/models/zett/transfer.ts';
import { sourceVocabulary, targetVocabulary } from '../src/models/zett/vocabulary.ts';

const { values: options } = parseArgs({
  options: {
    model: { type: 'string', default: 'body' },
    tokenizer: { type: 'string', default: 'tcode.json' },
    text: { type: 'string', default: 'ptest.txt' },
    seeds: { type: 'string', default: '3' },
    out: { type: 'string' },
    adapter: { type: 'string' },
  },
});
const name = 'bench/zettRow';
const body = await readModel(name, options.model);
const tokenizer = await readTokenizer(name, options.tokenizer);
const { text, bytes } = readText(name, options.text);
const source = sourceVocabulary(body.tokenizer);
const target = targetVocabulary(tokenizer, source);
const ids = measured(tokenizer, text);
const used = new Set(ids);
const fresh = [...target.rows.data].filter((row) => row >= 0 && target.same.data[row]! < 0).length;
const freshUsed = [...used].filter((id) => {
  const row = target.rows.data[id]!;
  return row >= 0 && target.same.data[row]! < 0;
});

/** Rows of `yes` for ids that pass the test, of `no` for the others. */
function rows(yes: Tensor, no: Tensor, test: (id: number) => boolean): Tensor {
  const width = yes.shape[1]!;
  return tensor(
    yes.shape,
    Float32Array.from(yes.data, (v, i) => (test(Math.floor(i / width)) ? v : no.data[i]!)),
  );
}

await using gpu = await openGpu(options.adapter === undefined ? {} : { adapter: options.adapter });
const kinds = ['fvt', 'lexical'] as const;
type Kind = (typeof kinds)[number];
const results: { input: Kind; outputUsed: Kind; outputUnused: Kind; bitsPerByte: number[] }[] = [];
for (const input of kinds)
  for (const outputUsed of kinds)
    for (const outputUnused of kinds) results.push({ input, outputUsed, outputUnused, bitsPerByte: [] });
for (let seed = 0; seed < Number(options.seeds); seed++) {
  const made = {
    fvt: await transfer(gpu, body, source, target, 'fvt', { seed }),
    lexical: await transfer(gpu, body, source, target, 'lexical', { seed }),
  };
  const head = (kind: Kind): Tensor => made[kind].parameters.head ?? made[kind].parameters.embedding;
  for (const row of results) {
    const parameters = {
      ...made[row.input].parameters,
      head: rows(head(row.outputUsed), head(row.outputUnused), (id) => used.has(id)),
    };
    using model = new SamOut(gpu, made.fvt.config, parameters);
    row.bitsPerByte.push((await sequenceNats(model, ids)) / Math.LN2 / bytes);
  }
}
const share = ids.filter((id) => freshUsed.includes(id)).length / ids.length;
console.log(
  `${fresh} of ${target.rows.size} tokens are new to the source; the text has ${freshUsed.length} of them, which are ${(100 * share).toFixed(1)} % of its tokens`,
);
console.log('input rows | output rows, in the text | output rows, not in it | bits per byte | deviation');
console.log('--- | --- | --- | --- | ---');
for (const { input, outputUsed, outputUnused, bitsPerByte } of results) {
  const mean = bitsPerByte.reduce((a, b) => a + b, 0) / bitsPerByte.length;
  const deviation = Math.sqrt(
    bitsPerByte.reduce((s, b) => s + (b - mean) ** 2, 0) / Math.max(bitsPerByte.length - 1, 1),
  );
  console.log(`${input} | ${outputUsed} | ${outputUnused} | ${mean.toFixed(3)} | ${deviation.toFixed(3)}`);
}
if (options.out !== undefined)
  writeFileSync(
    options.out,
    `${JSON.stringify({ tokens: target.rows.size, fresh, freshUsed: freshUsed.length, share, results }, null, 1)}\n`,
  );
